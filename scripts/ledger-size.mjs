/**
 * How much memory the commands of `p11seal ledger` take for a large ledger:
 *
 *     npm run build && node scripts/ledger-size.mjs [MESSAGES] [STREAMS]
 *
 * It fills a ledger in a temporary folder, by SQL, and prints peak memory (ru_maxrss), time and the
 * file's size after each command. The ledger is made in the first version of its tables, which had
 * no hash tree, so the first command, `status`, makes the tree. Before `prune`,
 * a hundred messages are reserved, accepted and delivered; the figure is that of one.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [messages = 1_000_000, streams = 100] = process.argv.slice(2).map(Number);
const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const home = mkdtempSync(join(tmpdir(), "p11seal-ledger-"));
const file = join(home, "ledger.db");

/**
 * Runs a command; the child reports its own peak memory when it ends.
 *
 * @param {...string} argv
 */
function p11seal(...argv) {
  const report = `process.on("exit", () => {
    require("node:fs").writeSync(3, String(process.resourceUsage().maxRSS));
  });`;
  const preload = `data:text/javascript,${encodeURIComponent(
    `import { createRequire } from "node:module"; const require = createRequire("/"); ${report}`,
  )}`;
  const began = performance.now();
  const { status, output, stderr } = spawnSync(
    process.execPath,
    ["--import", preload, program, ...argv],
    {
      env: { ...process.env, P11SEAL_HOME: home },
      stdio: ["ignore", argv.includes("export") ? "ignore" : "pipe", "pipe", "pipe"],
    },
  );
  if (status !== 0) throw new Error(`${argv.join(" ")}: status ${status}\n${stderr}`);
  const seconds = (performance.now() - began) / 1000;
  return { seconds, megabytes: Number(output[3]) / 1024 };
}

function fill() {
  const own = /** @type {any} */ (process.getBuiltinModule("node:sqlite"))?.DatabaseSync;
  const database = new (own ?? createRequire(import.meta.url)("libsql"))(file);
  const longAgo = Date.now() - 30 * 86_400_000;
  const stream = database.prepare("INSERT INTO streams VALUES (?, ?, ?, -1)");
  const message = database.prepare(
    `INSERT INTO messages (sender, message_id, stream, serial, created_ms, state, accepted_ms,
         token, lease_ms)
       VALUES (?, ?, ?, ?, ?, 'delivered', ?, ?, 0)`,
  );
  const each = Math.floor(messages / streams);
  database.exec("BEGIN");
  for (let i = 0; i < streams; i++) {
    const key = [hex(`sender ${i % 10}`, 64), hex(`stream ${i}`, 32)];
    stream.run(...key, each - 1);
    for (let serial = 0; serial < each; serial++) {
      const id = hex(`message ${i} ${serial}`, 32);
      message.run(key[0], id, key[1], serial, longAgo, longAgo, hex(`token ${id}`, 32));
    }
  }
  database.exec(`
    CREATE TABLE first (
      one INTEGER PRIMARY KEY, ledger_id TEXT, counter INTEGER, created_ms INTEGER, since_ms INTEGER
    ) STRICT;
    INSERT INTO first SELECT one, ledger_id, ${each * streams}, created_ms, since_ms FROM meta;
    DROP TABLE meta;
    DROP TABLE tree;
    ALTER TABLE first RENAME TO meta;
    PRAGMA user_version = 1;
  `);
  database.exec("COMMIT");
  database.close();
}

/** The time and memory that a message takes in the ledger. */
async function acceptSome() {
  const module = "../dist/records/ledger/sqlite-ledger.js";
  const { openLedger } = await import(fileURLToPath(new URL(module, import.meta.url)));
  const ledger = await openLedger(file);
  const nowMs = Date.now();
  const began = performance.now();
  for (let serial = 0; serial < 100; serial++) {
    const reservation = await ledger.reserve(
      {
        ...{ keyId: hex("a sender", 64), messageId: hex(`new ${serial}`, 32), serial },
        ...{ streamId: hex("a stream", 32), createdMs: nowMs, recipientsIntact: true },
      },
      { nowMs },
    );
    await (await reservation.commit()).delivered();
    await reservation.release();
  }
  const each = (performance.now() - began) / 100;
  await ledger.close();
  console.log(`a message: ${each.toFixed(1)} ms`);
}

/** @type {(text: string, digits: number) => string} */
function hex(text, digits) {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}

try {
  p11seal("ledger", "init");
  fill();
  console.log(`${messages} messages in ${streams} streams`);
  const commands = [["status"], ["verify"], ["export", "--json"], ["prune", "--window", "1d"]];
  for (const argv of commands) {
    if (argv[0] === "prune") await acceptSome();
    const { seconds, megabytes } = p11seal("ledger", ...argv);
    const size = (statSync(file).size / 1024 ** 2).toFixed(0);
    const figures = `${megabytes.toFixed(0)} MiB, ${seconds.toFixed(1)} s, file ${size} MiB`;
    console.log(`${argv.join(" ")}: ${figures}`);
  }
} finally {
  rmSync(home, { recursive: true, force: true });
}
