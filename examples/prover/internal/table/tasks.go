package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrNone says that no task is ready.
var ErrNone = errors.New("no task ready to prove")

// Task is what a client gets.
type Task struct {
	ID, Circuit string
	Input       []byte
	Output      []byte // nil when the column is null
}

// Requeue puts every `proving` task back to `inited` and returns how many they were.
// Called at start only: while running nobody can tell a slow client from a dead one.
func (t *Tasks) Requeue(ctx context.Context) (int64, error) {
	tag, err := t.pool.Exec(ctx,
		"UPDATE task SET status = 'inited', updated_time = CURRENT_TIMESTAMP WHERE status = 'proving'")
	if err != nil {
		return 0, fmt.Errorf("putting tasks of the former run back: %w", err)
	}
	return tag.RowsAffected(), nil
}

// HandOut gives the oldest open block of a circuit to a prover, or ErrNone.
func (t *Tasks) HandOut(ctx context.Context, circuit, proverID string) (Task, error) {
	row := t.pool.QueryRow(ctx, `
		UPDATE task SET status = 'proving', prover_id = $2, updated_time = CURRENT_TIMESTAMP
		WHERE task_id = (
			SELECT task_id FROM task WHERE circuit = $1 AND status = 'inited'
			ORDER BY block_id LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING task_id, circuit, input::text, output::text`, circuit, cut(proverID, proverIDWidth))
	var task Task
	var input string
	var output *string
	err := row.Scan(&task.ID, &task.Circuit, &input, &output)
	if errors.Is(err, pgx.ErrNoRows) {
		return Task{}, ErrNone
	}
	if err != nil {
		return Task{}, fmt.Errorf("handing out a task of circuit %s: %w", circuit, err)
	}
	task.Input = []byte(input)
	if output != nil {
		task.Output = []byte(*output)
	}
	return task, nil
}

// Input returns a task's input, or ErrNone for a task that is not in this database.
func (t *Tasks) Input(ctx context.Context, taskID string) ([]byte, error) {
	var input string
	err := t.pool.QueryRow(ctx, "SELECT input::text FROM task WHERE task_id = $1", taskID).Scan(&input)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the input of task %s: %w", taskID, err)
	}
	return []byte(input), nil
}

// Store settles a task. It goes by the task's id alone, so that a proof that comes late,
// even after the task went to somebody else, still counts.
func (t *Tasks) Store(ctx context.Context, taskID, proverID string, publicInput, proof []byte) error {
	_, err := t.pool.Exec(ctx, `
		UPDATE task SET status = 'proved', prover_id = $2, public_input = $3, proof = $4,
			updated_time = CURRENT_TIMESTAMP
		WHERE task_id = $1`, taskID, cut(proverID, proverIDWidth), publicInput, proof)
	if err != nil {
		return fmt.Errorf("storing the proof of task %s: %w", taskID, err)
	}
	return nil
}
