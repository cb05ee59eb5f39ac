// Service stands for every program that the backend leaves running. It is told by its arguments, or by the lines of a
// file beside it, what to do: where to listen (or "nowhere"), what it speaks there (plain, postgresql, kafka), and a line to say.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const delay = 400 * time.Millisecond // nobody is ready at once

func main() {
	words := orders()
	os.WriteFile("/data/used", []byte(strings.Join(words, " ")), 0o644) // where a container has a volume
	time.Sleep(delay)
	if len(words) > 2 {
		fmt.Println(words[2])
	}
	for words[0] == "nowhere" {
		time.Sleep(time.Hour)
	}
	listener, err := net.Listen("tcp", address(words[0]))
	must(err)
	for {
		connection, err := listener.Accept()
		must(err)
		go answer(connection, words[1])
	}
}

// The coordinator's is in its configuration and its environment; without the latter only its own machine reaches it.
func address(word string) string {
	if word != "coordinator" {
		return word
	}
	host := os.Getenv("COORDINATOR_LISTENADDR")
	if host == "" {
		host = "[::1]"
	}
	text, err := os.ReadFile("config/coordinator.yaml")
	must(err)
	_, rest, _ := strings.Cut(string(text), "port: ")
	port, _, _ := strings.Cut(rest, "\n")
	return host + ":" + port
}

// Of an interpreter, which has arguments of its own, the name of its script decides.
func orders() []string {
	self, err := os.Executable()
	must(err)
	name := filepath.Base(self)
	if len(os.Args) > 1 {
		name = filepath.Base(os.Args[1])
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(self), name+".orders"))
	if err != nil {
		return os.Args[1:]
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func answer(connection net.Conn, speaks string) {
	defer connection.Close()
	switch speaks {
	case "postgresql": // "no TLS here" to the question about it
		io.ReadFull(connection, make([]byte, 8))
		connection.Write([]byte("N"))
	case "kafka": // the length and the number of the question
		io.ReadFull(connection, make([]byte, 14))
		connection.Write([]byte{0, 0, 0, 4, 0, 0, 0, 1})
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
