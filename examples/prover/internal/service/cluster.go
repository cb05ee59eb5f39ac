// Package service is the coordinator's gRPC service: hand-out, verification and a log line
// for each call, which is how tests and operators count what every client did.
package service

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"proverctl.example/prover/gen/cluster"
	"proverctl.example/prover/internal/block"
	"proverctl.example/prover/internal/keys"
	"proverctl.example/prover/internal/table"
)

// Tasks is what the service needs of the table.
type Tasks interface {
	HandOut(ctx context.Context, circuit, proverID string) (table.Task, error)
	Input(ctx context.Context, taskID string) ([]byte, error)
	Store(ctx context.Context, taskID, proverID string, publicInput, proof []byte) error
}

// Verifier is what the service needs of the verifying key.
type Verifier interface {
	Verify(proof []byte) (publicInput []byte, err error)
}

// Cluster answers clients.
type Cluster struct {
	cluster.UnimplementedClusterServer
	Tasks    Tasks
	Verifier Verifier
	Circuit  string // the one that Verifier is of
	Log      *log.Logger
	// ended says that the scheduler has: as in the original, a proof that it cannot verify ends it
	// for good while the process goes on to answer.
	ended atomic.Bool
}

// errScheduler is what ends the scheduler.
var errScheduler = errors.New("the scheduler ends")

var (
	errEnded = status.Error(codes.Unknown, "Server temporary unavaliable") // the original's spelling
	errLost  = status.Error(codes.Unknown, "Dispatch ret unreach")         // to the call that ended it
)

// Register names a client after its host; the time tells restarts on one host apart.
func (c *Cluster) Register(_ context.Context, request *cluster.RegisterRequest) (*cluster.RegisterResponse, error) {
	proverID := fmt.Sprintf("%s-%d", request.GetHostname(), time.Now().UnixMilli())
	c.Log.Printf("register prover_id=%s hostname=%s", word(proverID), word(request.GetHostname()))
	return &cluster.RegisterResponse{ProverId: proverID}, nil
}

// PollTask hands out one task.
func (c *Cluster) PollTask(ctx context.Context, request *cluster.PollTaskRequest) (*cluster.Task, error) {
	if c.ended.Load() {
		return nil, errEnded
	}
	task, err := c.Tasks.HandOut(ctx, request.GetCircuit(), request.GetProverId())
	line := fmt.Sprintf("poll prover_id=%s circuit=%s", word(request.GetProverId()), word(request.GetCircuit()))
	switch {
	case errors.Is(err, table.ErrNone):
		c.Log.Printf("%s result=none", line)
		return nil, status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		c.Log.Printf("%s result=error reason=%q", line, err)
		return nil, status.Error(codes.Internal, "db query idle task")
	}
	c.Log.Printf("%s result=task task_id=%s", line, word(task.ID))
	return &cluster.Task{Id: task.ID, Circuit: task.Circuit, Input: task.Input, Output: task.Output}, nil
}

// SubmitProof verifies a proof and stores it.
func (c *Cluster) SubmitProof(ctx context.Context, request *cluster.SubmitProofRequest) (*cluster.SubmitProofResponse, error) {
	if c.ended.Load() {
		return nil, errEnded
	}
	verdict, reason, err := c.settle(ctx, request)
	line := fmt.Sprintf("submit prover_id=%s circuit=%s task_id=%s",
		word(request.GetProverId()), word(request.GetCircuit()), word(request.GetTaskId()))
	if errors.Is(err, errScheduler) {
		c.ended.Store(true)
		c.Log.Printf("%s result=panic reason=%q", line, err)
		return nil, errLost
	}
	if err != nil {
		c.Log.Printf("%s result=error reason=%q", line, err)
		return nil, status.Error(codes.Internal, "db store proof")
	}
	if reason != nil {
		c.Log.Printf("%s result=%s reason=%q", line, verdict, reason)
	} else {
		c.Log.Printf("%s result=%s", line, verdict)
	}
	return &cluster.SubmitProofResponse{Valid: verdict != invalid}, nil
}

type verdict string

const (
	valid   verdict = "valid"
	invalid verdict = "invalid"
	// unknown is a true proof of a task that this database does not hold. It is answered as
	// valid, as clients have always been: they could do nothing better with another answer.
	unknown verdict = "unknown_task"
)

func (c *Cluster) settle(ctx context.Context, request *cluster.SubmitProofRequest) (result verdict, reason, err error) {
	if request.GetCircuit() != c.Circuit {
		return "", nil, fmt.Errorf("%w: circuit %q is not known", errScheduler, request.GetCircuit())
	}
	public, err := c.Verifier.Verify(request.GetProof())
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errScheduler, err)
	}
	text, err := c.Tasks.Input(ctx, request.GetTaskId())
	if errors.Is(err, table.ErrNone) {
		return unknown, nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	input, err := block.ParseInput(text)
	if err != nil {
		return invalid, err, nil
	}
	matches, err := keys.MatchesTask(public, input)
	if err != nil {
		return "", nil, err
	}
	if !matches {
		return invalid, errors.New("it proves another block"), nil
	}
	return valid, nil, c.Tasks.Store(ctx, request.GetTaskId(), request.GetProverId(), public, request.GetProof())
}
