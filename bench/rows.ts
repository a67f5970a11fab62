// Everything that is measured side by side: the limits, the peers, and plugwire itself.

export interface Row {
  readonly id: string
  /** For the table. */
  readonly words: string
  /** Exports `open` (see `harness/subject.ts`). */
  readonly module: string
  readonly variant?: string
  readonly group: 'plugwire' | 'limit' | 'peer'
  /** The npm package whose version the table shows. */
  readonly package?: string
  /** Only these measures; everything else the row can do by default. */
  readonly measures?: readonly string[]
  /** A thread of the host's own process: its CPU time is also the host's, and its memory too. */
  readonly sameProcess?: true
  /** What each side has to import before it can begin. */
  readonly imports?: { readonly host: string; readonly plugin: string }
}

const netrpcMeasures = ['latency', 'flight64', 'record64', 'bytes1k', 'upload', 'download']

export const rows: readonly Row[] = [
  {
    id: 'plugwire',
    words: 'plugwire',
    module: 'plugwire/row.js',
    variant: 'fd',
    group: 'plugwire',
    package: 'plugwire',
    imports: { host: 'plugwire/host', plugin: 'plugwire/plugin' },
  },
  {
    id: 'plugwire-busy-poll',
    words: 'plugwire, busy-poll',
    module: 'plugwire/row.js',
    variant: 'busyPoll',
    group: 'plugwire',
    measures: ['latency'],
  },
  {
    id: 'plugwire-unix',
    words: 'plugwire, unix socket',
    module: 'plugwire/row.js',
    variant: 'unix',
    group: 'plugwire',
    measures: ['latency', 'start'],
  },
  {
    id: 'plugwire-unix-mtls',
    words: 'plugwire, unix socket, mutual TLS',
    module: 'plugwire/row.js',
    variant: 'unixTls',
    group: 'plugwire',
    measures: ['latency', 'start'],
  },
  {
    id: 'netrpc',
    words: "go-plugin's net/rpc: TypeScript to TypeScript",
    module: 'netrpc/row.js',
    variant: 'typescript',
    group: 'plugwire',
    package: '@plugwire/netrpc',
    measures: netrpcMeasures,
  },
  {
    id: 'netrpc-to-go',
    words: "go-plugin's net/rpc: TypeScript to Go",
    module: 'netrpc/row.js',
    variant: 'go',
    group: 'plugwire',
    measures: netrpcMeasures,
  },
  {
    id: 'netrpc-from-go',
    words: "go-plugin's net/rpc: Go to TypeScript",
    module: 'netrpc/go-row.js',
    variant: 'typescript',
    group: 'plugwire',
    measures: netrpcMeasures,
  },
  {
    id: 'go-netrpc',
    words: 'hashicorp/go-plugin, net/rpc: Go to Go',
    module: 'netrpc/go-row.js',
    variant: 'go',
    group: 'peer',
    measures: netrpcMeasures,
  },
  { id: 'raw', words: 'raw bytes, descriptor 3, static read buffer', module: 'limits/socket.js', variant: 'onread', group: 'limit' },
  { id: 'raw-data', words: "raw bytes, descriptor 3, 'data' events", module: 'limits/socket.js', variant: 'data', group: 'limit' },
  { id: 'empty', words: '`node -e 0`, start to end', module: 'limits/start.js', variant: 'empty', group: 'limit', measures: ['start'] },
  {
    id: 'hello',
    words: 'one byte on descriptor 3',
    module: 'limits/start.js',
    variant: 'hello',
    group: 'limit',
    measures: ['start', 'memory'],
  },
  { id: 'ipc-json', words: 'child_process IPC, json', module: 'peers/ipc.js', variant: 'json', group: 'peer' },
  { id: 'ipc-advanced', words: 'child_process IPC, advanced', module: 'peers/ipc.js', variant: 'advanced', group: 'peer' },
  {
    id: 'grpc-js',
    words: '@grpc/grpc-js, unix socket',
    module: 'peers/grpc-js.js',
    group: 'peer',
    package: '@grpc/grpc-js',
    imports: { host: '@grpc/grpc-js', plugin: '@grpc/grpc-js' },
  },
  {
    id: 'vscode-jsonrpc',
    words: 'vscode-jsonrpc, stdio',
    module: 'peers/vscode-jsonrpc.js',
    group: 'peer',
    package: 'vscode-jsonrpc',
    imports: { host: 'vscode-jsonrpc/node', plugin: 'vscode-jsonrpc/node' },
  },
  {
    id: 'capnweb',
    words: 'capnweb, descriptor 3',
    module: 'peers/capnweb.js',
    group: 'peer',
    package: 'capnweb',
    imports: { host: 'capnweb', plugin: 'capnweb' },
  },
  { id: 'tinypool', words: 'tinypool, child_process', module: 'peers/tinypool.js', group: 'peer', package: 'tinypool' },
  { id: 'birpc', words: 'birpc, child_process', module: 'peers/birpc.js', group: 'peer', package: 'birpc' },
  { id: 'message-port', words: 'MessagePort (thread)', module: 'peers/message-port.js', group: 'peer', sameProcess: true },
  { id: 'comlink', words: 'comlink (thread)', module: 'peers/comlink.js', group: 'peer', package: 'comlink', sameProcess: true },
]
