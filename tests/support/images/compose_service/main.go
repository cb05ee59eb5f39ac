// Composed is each service of the tests' compose projects: it listens after a while, needs another, ends, or fails.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	verb, rest := os.Args[1], os.Args[2:]
	switch verb {
	case "listen": // ADDRESS [AFTER [NEEDED]]
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		if len(rest) > 2 {
			reach(rest[2])
		}
		if len(rest) > 1 {
			pause, _ := time.ParseDuration(rest[1])
			time.Sleep(pause)
		}
		listener, err := net.Listen("tcp", rest[0])
		fail(err)
		go serve(listener)
		<-end
	case "reach": // ADDRESS: a health check
		reach(rest[0])
	case "done":
		fmt.Println("migrated")
	case "fail":
		fmt.Println("cannot open the vault")
		os.Exit(7)
	}
}

func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		fail(err)
		connection.Close()
	}
}

func reach(address string) {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	fail(err)
	connection.Close()
}

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}
