// Actor is a small program of a backend: `serve ADDRESS FILE` notes its pid in FILE and answers at ADDRESS until it is
// told to end; `check FILE` says by its exit code whether FILE exists.
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	if os.Args[1] == "check" {
		if _, err := os.Stat(os.Args[2]); err != nil {
			os.Exit(1)
		}
		return
	}
	serve(os.Args[2], os.Args[3])
}

func serve(address, file string) {
	note, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(err)
	fmt.Fprintln(note, os.Getpid())
	note.Close()
	time.Sleep(300 * time.Millisecond) // nobody is ready at once
	listener, err := net.Listen("tcp", address)
	must(err)
	for {
		connection, err := listener.Accept()
		must(err)
		connection.Close()
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
