/**
 * How much memory `p11seal ledger verify`, `export` and `prune` take for a large ledger:
 *
 *     npm run build && node scripts/ledger-size.mjs [MESSAGES] [STREAMS]
 *
 * It fills a ledger in a temporary folder, by SQL, and prints peak memory (ru_maxrss), time and the
 * file's size after each command.
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
  /** @type {(text: string, digits: number) => string} */
  const hex = (text, digits) => createHash("sha256").update(text).digest("hex").slice(0, digits);
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
  database.exec(`UPDATE meta SET counter = ${each * streams}`);
  database.exec("COMMIT");
  database.close();
}

try {
  p11seal("ledger", "init");
  fill();
  console.log(`${messages} messages in ${streams} streams`);
  for (const argv of [["verify"], ["export", "--json"], ["prune", "--window", "1d"]]) {
    const { seconds, megabytes } = p11seal("ledger", ...argv);
    const size = (statSync(file).size / 1024 ** 2).toFixed(0);
    const figures = `${megabytes.toFixed(0)} MiB, ${seconds.toFixed(1)} s, file ${size} MiB`;
    console.log(`${argv.join(" ")}: ${figures}`);
  }
} finally {
  rmSync(home, { recursive: true, force: true });
}
