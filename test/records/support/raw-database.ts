/** The ledger's database without the ledger, for what the ledger itself would not do. */
import { createRequire } from "node:module";

export interface RawDatabase {
  exec(sql: string): void;
  close(): void;
}

type Binding = new (file: string) => RawDatabase;

/** By the same SQLite as the ledger uses: two in one process don't see each other's locks. */
export function rawDatabase(file: string): RawDatabase {
  const own = process.getBuiltinModule("node:sqlite") as { DatabaseSync: Binding } | undefined;
  const Database = own?.DatabaseSync ?? (createRequire(import.meta.url)("libsql") as Binding);
  return new Database(file);
}
