// Greeter says its pod's name to the address it is given, as soon as that can be reached, and stays until told to end.
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
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	for {
		connection, err := net.DialTimeout("tcp", os.Args[1], time.Second)
		if err == nil {
			name, _ := os.Hostname()
			fmt.Fprintf(connection, "%s\n", name)
			connection.Close()
			<-end
			return
		}
		fmt.Fprintln(os.Stderr, err)
		time.Sleep(200 * time.Millisecond)
	}
}
