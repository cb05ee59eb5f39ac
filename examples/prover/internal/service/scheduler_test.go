package service

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"proverctl.example/prover/gen/cluster"
	"proverctl.example/prover/internal/keys"
	"proverctl.example/prover/internal/table"
)

// noTasks is a table without a row, or without a database.
type noTasks struct{ err error }

func (n noTasks) HandOut(context.Context, string, string) (table.Task, error) {
	return table.Task{}, n.err
}
func (n noTasks) Input(context.Context, string) ([]byte, error)               { return nil, n.err }
func (n noTasks) Store(context.Context, string, string, []byte, []byte) error { return n.err }

// refusing verifies nothing.
type refusing struct{}

func (refusing) Verify([]byte) ([]byte, error) { return nil, keys.ErrRefused }

// accepting verifies everything.
type accepting struct{}

func (accepting) Verify([]byte) ([]byte, error) { return nil, nil }

func expectStatus(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()
	if got := status.Convert(err); got.Code() != code || got.Message() != message {
		t.Errorf("expected %v %q, got %v", code, message, err)
	}
}

// A proof that the key does not verify, or one for another circuit, ends the scheduler: the
// process answers every later call, and with an error.
func TestAProofThatCannotBeVerifiedEndsTheScheduler(t *testing.T) {
	for name, one := range map[string]struct {
		verifier Verifier
		circuit  string
	}{"key": {refusing{}, "block"}, "circuit": {accepting{}, "block_2"}} {
		t.Run(name, func(t *testing.T) {
			client := serve(t, newCluster(noTasks{table.ErrNone}, one.verifier, &strings.Builder{}, t))
			poll := func() error {
				_, err := client.PollTask(t.Context(), &cluster.PollTaskRequest{ProverId: "p", Circuit: "block"})
				return err
			}
			expectStatus(t, poll(), codes.ResourceExhausted, "no task ready to prove")
			_, err := client.SubmitProof(t.Context(), &cluster.SubmitProofRequest{TaskId: "t", Circuit: one.circuit})
			expectStatus(t, err, codes.Unknown, "Dispatch ret unreach")
			for range 2 {
				expectStatus(t, poll(), codes.Unknown, "Server temporary unavaliable")
			}
			if _, err := client.Register(t.Context(), &cluster.RegisterRequest{Hostname: "h"}); err != nil {
				t.Errorf("the process has ended, too: %v", err)
			}
		})
	}
}

// Without its database the coordinator says which query failed, and nothing of why.
func TestADatabaseThatIsAwayIsAnInternalError(t *testing.T) {
	client := serve(t, newCluster(noTasks{errors.New("connection refused")}, accepting{}, &strings.Builder{}, t))
	_, err := client.PollTask(t.Context(), &cluster.PollTaskRequest{ProverId: "p", Circuit: "block"})
	expectStatus(t, err, codes.Internal, "db query idle task")
}
