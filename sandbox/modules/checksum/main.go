// Checksum tells what an image holds, from within: `checksum DIRECTORY` prints mode, SHA-256 and path of each file.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: checksum DIRECTORY")
		os.Exit(2)
	}
	if err := filepath.WalkDir(os.Args[1], tell); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func tell(path string, entry fs.DirEntry, err error) error {
	if err != nil || !entry.Type().IsRegular() {
		return err
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return err
	}
	fmt.Printf("%o %x %s\n", info.Mode().Perm(), digest.Sum(nil), path)
	return nil
}
