/** docs/custody.md: its commands, run as written, and what the page says of their output. */
import { afterAll, describe, expect, it } from "@jest/globals";
import { pageAt, shellLines, Tour, wantedStatus } from "../support/tour.js";

const lines = shellLines(pageAt("docs/custody.md"));

/** What lines of the page print, in its order: how a line begins, and what its output has. */
const PRINTED: readonly (readonly [begins: string, prints: string | RegExp])[] = [
  ["p11seal rules explain", "version 1, signed by carol, root, enforced"],
  ["p11seal seal -o finance/plan", "it is not signed"],
  ["p11seal seal --sign-with bob.key -o finance/plan", 'sealed to "escrow" as well'],
  ["p11seal audit --tree --strict finance", "no findings; 2 messages looked at"],
  ["p11seal audit --tree --strict finance", /plan\.p11s: fault: .*\[excluded-recipient\]/],
  ["p11seal rewrap --tree --dry-run", "plan.p11s: would be re-wrapped, 1 added, 1 removed"],
  ["p11seal rewrap --tree --from-key", "2 re-wrapped"],
  ["p11seal audit --tree --strict finance", "no findings; 2 messages looked at"],
  ["p11seal open --from bob -i", 'custodian "vault" re-wrapped the message for others'],
  ["p11seal open --from bob --custodian vault", 'given to you by custodian "vault"'],
  ["p11seal open --from bob --custodian vault", /was opened on/],
  ["p11seal open --custodian vault", "no identity matches"],
  ["p11seal open -i pkcs11:token=card -o lost2.out", "breaks the rules"],
  ["p11seal audit --tree --strict finance", /plan\.p11s: fault: .*\[excluded-recipient\]/],
  ["p11seal rewrap --tree --from-key", "1 re-wrapped"],
  ["p11seal audit --tree --strict finance", "no findings; 2 messages looked at"],
  ["p11seal open -i pkcs11:token=card2", '"escrow" is not among its recipients'],
  ["p11seal audit --tree finance", /brought\.p11s: fault: .*\[missing-escrow\]/],
  ["p11seal audit --tree --strict --as", "2 of 2 headers could be opened"],
  ["p11seal rewrap --tree -r alice", "secret.p11s: foreign"],
];

describe("docs/custody.md", () => {
  const tour = new Tour();
  const printed: { line: string; output: string }[] = [];
  afterAll(() => {
    tour.end();
  });

  it.each(lines)("%s", (line) => {
    const { status, output } = tour.run(line);
    expect({ line, output, status }).toEqual({ line, output, status: wantedStatus(line) });
    printed.push({ line, output });
  });

  it("has lines that print what the page says, in its order", () => {
    let at = 0;
    for (const [begins, prints] of PRINTED) {
      const found = printed.findIndex(({ line }, index) => index >= at && line.startsWith(begins));
      expect([begins, found]).not.toEqual([begins, -1]);
      expect(printed[found]?.output).toEqual(
        typeof prints === "string"
          ? expect.stringContaining(prints)
          : expect.stringMatching(prints),
      );
      at = found + 1;
    }
  });

  it("opens what it says, and shows it to nobody else", () => {
    expect(tour.run("cat budget.out lost.out").output).toBe("buy at noon\n".repeat(2));
    expect(tour.run("ls again.out lost2.out brought.out").status).not.toBe(0);
    expect(tour.run("grep -c rewrapped journal.jsonl").output).toBe("2\n");
  });
});
