// Command client is the prove-client that a fleet runs. It handles no signals on purpose.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"proverctl.example/prover/internal/keys"
	"proverctl.example/prover/internal/proveclient"
)

// faultCode is the exit code of a configuration fault.
const faultCode = 101

func main() {
	if os.Getpid() == 1 {
		// The kernel drops signals that PID 1 did not ask for. Go's runtime asks for these
		// behind our back, so they have to be dropped again.
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	logger := proveclient.NewLogger(os.Stdout, os.Getenv("RUST_LOG"))
	client, hostname, err := prepare(logger)
	if err != nil {
		logger.Error("%v", err)
		os.Exit(faultCode)
	}
	client.Run(hostname)
}

func prepare(logger *proveclient.Logger) (*proveclient.Client, string, error) {
	logger.Info("prover client started")
	config, err := proveclient.LoadConfig(os.Getenv)
	if err != nil {
		return nil, "", err
	}
	prover, err := keys.LoadProver(config.Paths())
	if err != nil {
		return nil, "", err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, "", err
	}
	return &proveclient.Client{Config: config, Prover: prover, Log: logger}, hostname, nil
}
