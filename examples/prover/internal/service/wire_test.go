package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"proverctl.example/prover/gen/cluster"
	"proverctl.example/prover/internal/block"
	"proverctl.example/prover/internal/keys"
	"proverctl.example/prover/internal/logline"
	"proverctl.example/prover/internal/table"
)

// world is a served coordinator on a real database, which the environment names.
type world struct {
	client cluster.ClusterClient
	tasks  *table.Tasks
	rows   *pgx.Conn
	prover *keys.Prover
	log    *strings.Builder
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := os.Getenv("EXAMPLE_TEST_DATABASE_URL")
	if url == "" {
		t.Skip("EXAMPLE_TEST_DATABASE_URL names no database: tests/integration/backend/test_example_prover.py does")
	}
	ctx := context.Background()
	tasks, err := table.Open(ctx, url, 10*time.Second)
	must(t, err)
	t.Cleanup(tasks.Close)
	rows, err := pgx.Connect(ctx, url)
	must(t, err)
	t.Cleanup(func() { _ = rows.Close(ctx) })
	_, err = rows.Exec(ctx, "TRUNCATE task")
	must(t, err)
	prover, verifier := loadKeys(t)
	log := &strings.Builder{}
	client := serve(t, newCluster(tasks, verifier, log, t))
	return &world{client: client, tasks: tasks, rows: rows, prover: prover, log: log}
}

func newCluster(tasks Tasks, verifier Verifier, log *strings.Builder, t *testing.T) *Cluster {
	return &Cluster{Tasks: tasks, Verifier: verifier, Circuit: "block", Log: logline.New(io.MultiWriter(log, t.Output()))}
}

var makeKeys = sync.OnceValues(func() (map[string]io.WriterTo, error) { return keys.SetUp() })

func loadKeys(t *testing.T) (*keys.Prover, *keys.Verifier) {
	t.Helper()
	files, err := makeKeys()
	must(t, err)
	directory := filepath.Join(t.TempDir(), "circuit")
	must(t, keys.WriteDirectory(directory, files))
	in := func(name string) string { return filepath.Join(directory, name) }
	prover, err := keys.LoadProver(keys.Paths{
		Constraints: in(keys.ConstraintsFile), Monomial: in(keys.MonomialFile),
		Lagrange: in(keys.LagrangeFile), Verifying: in(keys.VerifyingFile),
	})
	must(t, err)
	verifier, err := keys.LoadVerifier(in(keys.VerifyingFile))
	must(t, err)
	return prover, verifier
}

func serve(t *testing.T, answers *Cluster) cluster.ClusterClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := grpc.NewServer()
	cluster.RegisterClusterServer(server, answers)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return cluster.NewClusterClient(connection)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) poll(t *testing.T, proverID string) *cluster.Task {
	t.Helper()
	task, err := w.client.PollTask(t.Context(), &cluster.PollTaskRequest{ProverId: proverID, Circuit: "block"})
	must(t, err)
	return task
}

func (w *world) prove(t *testing.T, task *cluster.Task) []byte {
	t.Helper()
	input, err := block.ParseInput(task.GetInput())
	must(t, err)
	proof, err := w.prover.Prove(input)
	must(t, err)
	return proof
}

func (w *world) submit(t *testing.T, taskID string, proof []byte) bool {
	t.Helper()
	answer, err := w.client.SubmitProof(t.Context(), &cluster.SubmitProofRequest{
		ProverId: "p", TaskId: taskID, Circuit: "block", Proof: proof,
	})
	must(t, err)
	return answer.GetValid()
}

func (w *world) row(t *testing.T, taskID string) string {
	t.Helper()
	var text string
	must(t, w.rows.QueryRow(t.Context(),
		`SELECT format('%s prover=%s proof=%s input=%s', status, prover_id, length(proof), length(public_input))
		 FROM task WHERE task_id = $1`, taskID).Scan(&text))
	return text
}

func (w *world) enqueue(t *testing.T, count int) {
	t.Helper()
	_, err := w.tasks.Enqueue(t.Context(), "block", count, 1000)
	must(t, err)
}

// A proof is stored when it proves its task; those of other tasks are answered as invalid
// and leave the row alone.
func TestOnlyTheTasksOwnProofIsStored(t *testing.T) {
	w := newWorld(t)
	w.enqueue(t, 2)
	first, second := w.poll(t, "p"), w.poll(t, "p")
	proof, foreign := w.prove(t, first), w.prove(t, second)
	if w.submit(t, first.GetId(), foreign) {
		t.Error("a foreign proof was answered as valid")
	}
	if got := w.row(t, first.GetId()); got != "proving prover=p proof= input=" {
		t.Errorf("wrong proofs left a trace: %s", got)
	}
	for range 2 { // repeating a submission is safe
		if !w.submit(t, first.GetId(), proof) {
			t.Error("the true proof was answered as invalid")
		}
	}
	if expected, got := fmt.Sprintf("proved prover=p proof=%d input=64", len(proof)), w.row(t, first.GetId()); got != expected {
		t.Errorf("expected %s, got %s", expected, got)
	}
}

// A true proof of a task that this database does not hold is valid and changes nothing.
func TestProofOfUnknownTaskIsValid(t *testing.T) {
	w := newWorld(t)
	w.enqueue(t, 1)
	task := w.poll(t, "p")
	if !w.submit(t, "task_elsewhere", w.prove(t, task)) {
		t.Error("expected valid")
	}
	if got := w.row(t, task.GetId()); !strings.HasPrefix(got, "proving ") {
		t.Errorf("the other task changed: %s", got)
	}
	if !strings.Contains(w.log.String(), "task_id=task_elsewhere result=unknown_task\n") {
		t.Errorf("the log does not tell: %s", w.log)
	}
}

// Each waiting task goes to one poll, in order of blocks; then comes RESOURCE_EXHAUSTED, as
// for a circuit that nobody enqueues.
func TestEveryTaskIsHandedOutOnce(t *testing.T) {
	w := newWorld(t)
	const count = 8
	w.enqueue(t, count)
	var group sync.WaitGroup
	var seen sync.Map
	for i := range count {
		group.Go(func() {
			task := w.poll(t, fmt.Sprintf("p%d", i))
			if _, twice := seen.LoadOrStore(task.GetId(), true); twice {
				t.Errorf("task %s was handed out twice", task.GetId())
			}
		})
	}
	group.Wait()
	for _, circuit := range []string{"block", "other"} {
		_, err := w.client.PollTask(t.Context(), &cluster.PollTaskRequest{ProverId: "late", Circuit: circuit})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: expected RESOURCE_EXHAUSTED, got %v", circuit, err)
		}
	}
}

// The table keeps 30 characters of a prover's id, whole ones.
func TestProverIDIsCutInTheTable(t *testing.T) {
	w := newWorld(t)
	w.enqueue(t, 1)
	task := w.poll(t, strings.Repeat("ä", 40))
	if expected, got := "proving prover="+strings.Repeat("ä", 30)+" proof= input=", w.row(t, task.GetId()); got != expected {
		t.Errorf("expected %s, got %s", expected, got)
	}
}

// What Requeue puts back is handed out again, and a late proof by the former prover counts.
func TestRequeuedTaskIsHandedOutAgain(t *testing.T) {
	w := newWorld(t)
	w.enqueue(t, 1)
	task := w.poll(t, "former")
	count, err := w.tasks.Requeue(t.Context())
	must(t, err)
	if again := w.poll(t, "next"); count != 1 || again.GetId() != task.GetId() {
		t.Errorf("expected task %s again (requeued %d), got %s", task.GetId(), count, again.GetId())
	}
	if !w.submit(t, task.GetId(), w.prove(t, task)) {
		t.Error("the late proof was refused")
	}
}

// The load stops at its limit of unproved blocks, and each block stands on the one before.
func TestLoadIsBoundedAndChained(t *testing.T) {
	w := newWorld(t)
	for _, expected := range []int{4, 1, 0} {
		added, err := w.tasks.Enqueue(t.Context(), "block", 4, 5)
		must(t, err)
		if added != expected {
			t.Errorf("expected %d additions, got %d", expected, added)
		}
	}
	previous := ""
	for range 5 {
		task := w.poll(t, "p")
		if previous != "" && !strings.Contains(string(task.GetInput()), previous) {
			t.Errorf("block %s does not stand on root %s", task.GetInput(), previous)
		}
		previous = strings.Split(string(task.GetOutput()), `"`)[3]
	}
}

// A client's name cannot forge a log line.
func TestNamesStayOneWordInTheLog(t *testing.T) {
	w := newWorld(t)
	name := "evil\npoll prover_id=other"
	_, err := w.client.Register(t.Context(), &cluster.RegisterRequest{Hostname: name})
	must(t, err)
	if lines := strings.Count(w.log.String(), "\n"); lines != 1 {
		t.Errorf("expected one line, got %d: %s", lines, w.log)
	}
}
