package table

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"proverctl.example/prover/internal/block"
)

// genesisRoot is what the first block stands on.
const genesisRoot = "0"

// Enqueue adds the next simulated blocks of a circuit, each on top of the one before, but
// leaves no more than maxPending unproved. Returns how many it added.
func (t *Tasks) Enqueue(ctx context.Context, circuit string, count, maxPending int) (int, error) {
	added := 0
	err := pgx.BeginFunc(ctx, t.pool, func(transaction pgx.Tx) error {
		// Two tickers would continue the chain from one block; the lock makes them take turns.
		if _, err := transaction.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
			return err
		}
		pending := 0
		err := transaction.QueryRow(ctx,
			"SELECT count(*) FROM task WHERE circuit = $1 AND status <> 'proved'", circuit).Scan(&pending)
		if err != nil {
			return err
		}
		added = max(0, min(count, maxPending-pending))
		return extend(ctx, transaction, circuit, added)
	})
	if err != nil {
		return 0, fmt.Errorf("adding tasks of circuit %s: %w", circuit, err)
	}
	return added, nil
}

func extend(ctx context.Context, transaction pgx.Tx, circuit string, count int) error {
	number, root, err := chainEnd(ctx, transaction, circuit)
	if err != nil {
		return err
	}
	for range count {
		number++
		if root, err = insert(ctx, transaction, circuit, number, root); err != nil {
			return err
		}
	}
	return nil
}

func chainEnd(ctx context.Context, transaction pgx.Tx, circuit string) (int64, string, error) {
	var number int64
	var text string
	err := transaction.QueryRow(ctx,
		"SELECT block_id, input::text FROM task WHERE circuit = $1 ORDER BY block_id DESC LIMIT 1", circuit).
		Scan(&number, &text)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, genesisRoot, nil
	}
	if err != nil {
		return 0, "", err
	}
	last, err := block.ParseInput([]byte(text))
	if err != nil {
		// A hand-made row is no reason to stop the load: start a new chain after it.
		return number, genesisRoot, nil
	}
	root, err := last.NewRoot()
	return number, root, err
}

func insert(ctx context.Context, transaction pgx.Tx, circuit string, number int64, oldRoot string) (string, error) {
	input, err := block.RandomInput(oldRoot)
	if err != nil {
		return "", err
	}
	newRoot, err := input.NewRoot()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(input)
	if err != nil {
		return "", err
	}
	output, err := json.Marshal(map[string]string{"new_root": newRoot})
	if err != nil {
		return "", err
	}
	_, err = transaction.Exec(ctx,
		"INSERT INTO task (task_id, circuit, block_id, input, output) VALUES ($1, $2, $3, $4, $5)",
		newTaskID(), circuit, number, text, output)
	return newRoot, err
}

func newTaskID() string {
	const prefix = "task_"
	raw := make([]byte, (taskIDWidth-len(prefix))/2)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return prefix + hex.EncodeToString(raw)
}
