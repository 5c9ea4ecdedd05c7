/**
 * Who may import whom (ARCHITECTURE.md has the same table), and that no file imports itself by way
 * of others; imports of types count. `npm run lint` runs it.
 */

/**
 * Packages that only src/token may load: they need a compiled addon, and they crash on bad input.
 */
const NATIVE = "node_modules/(?:pkcs11js|graphene-pk11|koffi)/";

/** The database, native as well: only src/store. */
const DATABASE = "node_modules/(?:libsql|better-sqlite3)/";

/** Modules that reach outside: files, other programs, the process. The core has none of these. */
const OUTSIDE = "^(?:fs|fs/promises|child_process|process|sqlite)$";

/** What is imported by everybody: byte strings, errors, secrets, streams, printable text. */
const LEAVES = "^src/(?:bytes|defined|errors|printable|secret|stream|strict-cbor|turnstile)[.]ts$";

/**
 * Each room and what it may import besides itself and the leaves.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const ROOMS = {
  "^src/asn1/": [],
  "^src/mime/": [],
  "^src/x509/": ["^src/asn1/"],
  "^src/keys/": ["^src/asn1/", "^src/x509/"],
  "^src/trust/": ["^src/asn1/", "^src/x509/", "^src/keys/"],
  "^src/wrap/": ["^src/asn1/", "^src/keys/"],
  "^src/body/(?!threads/)": [],
  "^src/body/threads/": ["^src/body/"],
  "^src/envelope/": ["^src/(?:asn1|mime|x509|keys|wrap)/", "^src/body/(?!threads/)"],
  "^src/software/": ["^src/asn1/", "^src/keys/", "^src/wrap/(?:rsa-|hybrid-key)"],
  "^src/capi/": [
    "^src/asn1/",
    "^src/keys/",
    "^src/body/rc2",
    "^src/wrap/(?:rsa-|rejection)",
    "^src/software/",
  ],
  "^src/token/": [
    "^src/asn1/",
    "^src/x509/",
    "^src/keys/",
    "^src/wrap/rsa-",
    "^src/terminal/",
    "^src/store/(?:file-modes|system-error)",
  ],
  "^src/store/": [],
  "^src/terminal/": [],
  "^src/records/": ["^src/keys/", "^src/store/", "^src/trust/", "^src/x509/"],
  "^src/testing/": ["^src/(?:asn1|keys|token|store)/"],
  "^src/plugin/": ["^src/(?:asn1|keys|wrap|envelope|software|token|terminal|store)/"],
  "^src/agent/": ["^src/(?:keys|envelope|token|records|store|terminal)/"],
  "^src/cli/": ["^src/"],
};

/** The core: bytes and keys in, bytes out. */
const CORE = [
  LEAVES,
  "^src/(?:asn1|mime|x509|keys|trust|wrap|software|envelope|capi)/",
  "^src/body/(?!threads/)",
];

/** Rooms that stand in a row within another: none imports what comes after it. */
const ROWS = {
  "src/token": ["modules", "session", "objects", "use", "process"],
  "src/cli": ["io", "arguments", "find", "commands"],
};

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "no-circle",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "leaves",
      severity: "error",
      from: { path: LEAVES },
      to: { path: "^src/", pathNot: LEAVES },
    },
    ...Object.entries(ROOMS).map(([room, others]) => ({
      name: `room ${room}`,
      severity: /** @type {const} */ ("error"),
      from: { path: room },
      to: { path: "^src/", pathNot: [room, LEAVES, ...others] },
    })),
    ...Object.entries(ROWS).flatMap(([house, rooms]) =>
      rooms.slice(0, -1).map((room, i) => ({
        name: `${house}/${room} comes before the rooms after it`,
        severity: /** @type {const} */ ("error"),
        from: { path: `^${house}/${room}/` },
        to: { path: `^${house}/(?:${rooms.slice(i + 1).join("|")})/` },
      })),
    ),
    {
      name: "only src/envelope knows a message format",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(?:envelope|plugin)/" },
      to: { path: "^src/envelope/[^/]+/" },
    },
    {
      name: "the plugin knows age's stanzas alone",
      severity: "error",
      from: { path: "^src/plugin/" },
      to: { path: "^src/envelope/(?!age/)[^/]+/" },
    },
    {
      name: "no message format knows another",
      severity: "error",
      from: { path: "^src/envelope/([^/]+)/" },
      to: { path: "^src/envelope/[^/]+/", pathNot: "^src/envelope/$1/" },
    },
    {
      name: "nobody imports the command line",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/cli/" },
      to: { path: "^src/cli/" },
    },
    {
      name: "nobody imports the plugin, but the command line its identity strings",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/plugin/" },
      to: { path: "^src/plugin/", pathNot: "^src/plugin/plugin-identity[.]ts$" },
    },
    {
      name: "nothing loads the tokens for tests, but the commands for them",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(?:testing|cli/commands/testing)/" },
      to: { path: "^src/testing/" },
    },
    {
      name: "only src/token loads PKCS#11 bindings",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/token/" },
      to: { path: NATIVE },
    },
    {
      name: "only src/store loads the database",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/store/" },
      to: { path: DATABASE },
    },
    {
      name: "the core reaches nothing outside",
      severity: "error",
      from: { path: CORE },
      to: { path: OUTSIDE, dependencyTypes: ["core"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "require"] },
  },
};
