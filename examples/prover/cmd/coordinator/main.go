// Command coordinator hands out tasks and verifies proofs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"proverctl.example/prover/gen/cluster"
	"proverctl.example/prover/internal/keys"
	"proverctl.example/prover/internal/logline"
	"proverctl.example/prover/internal/service"
	"proverctl.example/prover/internal/table"
)

// faultCode is the exit code of a missing key or database.
const faultCode = 101

// farewell is how long calls under way may take after TERM.
const farewell = 5 * time.Second

func main() {
	listen := flag.String("listen", "[::1]:50055", "address:port to serve on; [::]:50055 for clients on other hosts")
	circuit := flag.String("circuit", "block", "name of the circuit that the key verifies")
	key := flag.String("verifying-key", "build/circuit/"+keys.VerifyingFile, "verifying key of the circuit")
	patience := flag.Duration("database-wait", 30*time.Second, "how long to wait for the database at start")
	flag.Parse()
	logger := logline.New(os.Stdout)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, logger, *listen, *key, *circuit, *patience); err != nil {
		logger.Printf("ERROR coordinator: %v", err)
		os.Exit(faultCode)
	}
}

func run(ctx context.Context, logger *log.Logger, listen, key, circuit string, patience time.Duration) error {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return fmt.Errorf("DATABASE_URL is not set: give postgres://user@host:port/database")
	}
	verifier, err := keys.LoadVerifier(key)
	if err != nil {
		return err
	}
	tasks, err := table.Open(ctx, url, patience)
	if err != nil {
		return err
	}
	defer tasks.Close()
	requeued, err := tasks.Requeue(ctx)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", listen, err)
	}
	logger.Printf("start listen=%s requeued=%d", listener.Addr(), requeued)
	return serve(ctx, listener, &service.Cluster{Tasks: tasks, Verifier: verifier, Circuit: circuit, Log: logger})
}

func serve(ctx context.Context, listener net.Listener, answers *service.Cluster) error {
	// Clients' supervisors ping through long silences; grpc-go would hang up on them.
	pings := keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}
	server := grpc.NewServer(grpc.MaxSendMsgSize(math.MaxInt32), grpc.KeepaliveEnforcementPolicy(pings))
	cluster.RegisterClusterServer(server, answers)
	go func() {
		<-ctx.Done()
		time.AfterFunc(farewell, server.Stop)
		server.GracefulStop()
	}()
	return server.Serve(listener)
}
