// Package table is the coordinator's PostgreSQL table `task`. It exists so that the
// hand-out, the proof and the simulated load agree on one schema, which users' queries
// already know.
package table

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Widths of columns, as users' tools know them.
const (
	taskIDWidth   = 30
	circuitWidth  = 30
	proverIDWidth = 30 // the column is wider, but ids have always been cut to this
)

const schema = `
DO $$ BEGIN
  CREATE TYPE task_status AS ENUM ('inited', 'proving', 'proved');
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
CREATE TABLE IF NOT EXISTS task (
  task_id      varchar(30)  PRIMARY KEY,
  circuit      varchar(30)  NOT NULL,
  block_id     bigint       NOT NULL,
  input        jsonb        NOT NULL,
  output       jsonb,
  public_input bytea,
  proof        bytea,
  status       task_status  NOT NULL DEFAULT 'inited',
  prover_id    varchar(128),
  created_time timestamp(0) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_time timestamp(0) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS task_open ON task (circuit, block_id) WHERE status = 'inited';`

// schemaLock keeps a coordinator and a ticker from creating the schema at once.
const schemaLock = 0x7461736b

// Tasks is the table.
type Tasks struct {
	pool *pgxpool.Pool
}

// Open connects and creates the table when it is absent, trying again until patience ends.
func Open(ctx context.Context, url string, patience time.Duration) (*Tasks, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL is not a PostgreSQL URL: %w", err)
	}
	where := fmt.Sprintf("%s:%d/%s", config.ConnConfig.Host, config.ConnConfig.Port, config.ConnConfig.Database)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", where, err)
	}
	if err := awaitSchema(ctx, pool, patience); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database %s gave no usable connection within %s (is it running, and is the user right?): %w", where, patience, err)
	}
	return &Tasks{pool: pool}, nil
}

// Close ends all connections.
func (t *Tasks) Close() { t.pool.Close() }

func awaitSchema(ctx context.Context, pool *pgxpool.Pool, patience time.Duration) error {
	const pause = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := create(ctx, pool)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func create(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(transaction pgx.Tx) error {
		if _, err := transaction.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
			return err
		}
		_, err := transaction.Exec(ctx, schema)
		return err
	})
}

// cut shortens to a column's width in characters, never in the middle of one.
func cut(text string, width int) string {
	runes := []rune(text)
	return string(runes[:min(width, len(runes))])
}
