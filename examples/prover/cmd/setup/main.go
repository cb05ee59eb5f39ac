// Command setup writes the circuit directory that clients, images and the coordinator
// load. Its SRS is a toy: see the README.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"proverctl.example/prover/internal/keys"
)

func main() {
	out := flag.String("out", "build/circuit", "directory to write; an existing one is replaced as a whole")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	started := time.Now()
	files, err := keys.SetUp()
	if err != nil {
		return err
	}
	if err := keys.WriteDirectory(out, files); err != nil {
		return err
	}
	fmt.Printf("setup: wrote %s in %d ms\n", out, time.Since(started).Milliseconds())
	return nil
}
