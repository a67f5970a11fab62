// Everything that is measured side by side: the limits, the peers, and plugwire itself.

import { terraform } from './terraform/row.ts'

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

const netrpcMeasures = ['start', 'latency', 'flight64', 'record64', 'bytes1k', 'upload', 'download', 'uploadOwned', 'downloadOwned']

const grpcMeasures = ['latency', 'flight64', 'flight1000', 'record64', 'bytes1k', 'upload', 'download', 'start']
const kinds: Readonly<Record<string, string>> = {
  script: 'JavaScript in one file',
  'native-20': 'native, 20 MiB',
  'native-90': 'native, 90 MiB',
}

const planRows: readonly Row[] = [
  {
    id: 'plan',
    words: '`terraform plan`, provider in TypeScript',
    module: 'terraform/row.js',
    variant: 'typescript',
    group: 'plugwire',
    measures: ['start'],
  },
  {
    id: 'plan-go',
    words: '`terraform plan`, provider in Go',
    module: 'terraform/row.js',
    variant: 'go',
    group: 'peer',
    measures: ['start'],
  },
]

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
    id: 'grpc',
    words: "go-plugin's gRPC, TypeScript to TypeScript",
    module: 'grpc/row.js',
    variant: 'plain',
    group: 'plugwire',
    package: '@plugwire/grpc',
    measures: grpcMeasures,
  },
  {
    id: 'grpc-mtls',
    words: 'the same with AutoMTLS',
    module: 'grpc/row.js',
    variant: 'tls',
    group: 'plugwire',
    measures: ['flight1000', 'start'],
  },
  {
    id: 'grpc-bundled',
    words: 'a plugin for it in one file',
    module: 'grpc/row.js',
    variant: 'bundled',
    group: 'plugwire',
    measures: ['start', 'memory'],
  },
  {
    id: 'grpc-js-bundled',
    words: 'the same on plain grpc-js, handshake by hand',
    module: 'grpc/row.js',
    variant: 'bundled-grpc-js',
    group: 'peer',
    measures: ['start', 'memory'],
  },
  ...['script', 'native-20', 'native-90'].flatMap((what): Row[] => [
    {
      id: `verified-${what}`,
      words: `verified start, ${kinds[what]}`,
      module: 'verified/row.js',
      variant: what,
      group: 'plugwire',
      measures: ['start', 'verify'],
    },
    {
      id: `plain-${what}`,
      words: `plain start, ${kinds[what]}`,
      module: 'verified/row.js',
      variant: `${what}-plain`,
      group: 'limit',
      measures: ['start', 'verify'],
    },
  ]),
  { id: 'discovery', words: 'discovery of 1 000 candidates, CPU', module: 'store/row.js', group: 'plugwire', measures: ['verify'] },
  ...(terraform === undefined ? [] : planRows),
  {
    id: 'netrpc',
    words: "go-plugin's net/rpc: TypeScript to TypeScript",
    module: 'netrpc/row.js',
    variant: 'typescript',
    group: 'plugwire',
    package: '@plugwire/netrpc',
    measures: [...netrpcMeasures, 'gob'],
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
