// What plugwire wants to reach, as data, and how far a run came. Every goal compares figures of the same round.

import { median, number, paired, quartiles } from './harness/statistics.ts'
import type { Pin } from './measures.ts'
import { type Samples, series } from './results.ts'

/**
 * How a row is compared with the other one:
 * `of` row / other, `below` other / row ("so many times lower"), `above` row - other, `alone` the row's own figure.
 */
type Comparison = 'of' | 'below' | 'above' | 'alone'

export interface Goal {
  readonly id: string
  readonly words: string
  readonly compare: Comparison
  /** `row measure.figure`. */
  readonly figure: string
  /** The other side of the comparison. */
  readonly with?: string
  /** With two, the worse one counts. */
  readonly pins: readonly Pin[]
  readonly atMost?: number
  readonly atLeast?: number
  /** Of the measured value; a bare ratio has none. */
  readonly unit?: string
}

export interface Verdict {
  readonly id: string
  readonly words: string
  readonly pin: Pin | undefined
  /** Median over the rounds; undefined when this run did not measure it. */
  readonly measured: number | undefined
  /** Half of the rounds lie between these. */
  readonly middleHalf: readonly [number, number] | undefined
  readonly goal: string
  readonly met: boolean | undefined
  readonly unit: string
}

const core: readonly Pin[] = ['one-core']
const free: readonly Pin[] = ['free']
const apart: readonly Pin[] = ['two-cores']
const both: readonly Pin[] = ['one-core', 'free']

const peerNames: Readonly<Record<string, string>> = {
  'grpc-js': '@grpc/grpc-js',
  'vscode-jsonrpc': 'vscode-jsonrpc',
  capnweb: 'capnweb',
  'ipc-json': 'IPC json',
  'ipc-advanced': 'IPC advanced',
  'message-port': 'a MessagePort to a thread',
}

/** The same comparison with several peers. */
function against(peers: Readonly<Record<string, number>>, make: (peer: string, name: string, factor: number) => Goal): Goal[] {
  return Object.entries(peers).map(([peer, factor]) => make(peer, peerNames[peer] ?? peer, factor))
}

const faster =
  (words: string, measure: string, pins: readonly Pin[]) =>
  (peer: string, name: string, atLeast: number): Goal => ({
    id: `${measure}/${peer}`,
    words: `${words}, times the rate of ${name}`,
    compare: 'of',
    figure: `plugwire ${measure}.rate`,
    with: `${peer} ${measure}.rate`,
    pins,
    atLeast,
  })

const grpcWords = {
  'latency.p50': 'one call, p50',
  'flight64.rate': '64 in flight, the rate',
  'flight1000.rate': '1 000 in flight, the rate',
  'upload.rate': 'upload',
  'download.rate': 'download',
} as const

export const goals: readonly Goal[] = [
  {
    id: 'latency/raw',
    words: 'one call, p50, of a raw ping-pong',
    compare: 'of',
    figure: 'plugwire latency.p50',
    with: 'raw latency.p50',
    pins: core,
    atMost: 1.15,
  },
  {
    id: 'latency-p99/raw',
    words: 'one call, p99, of a raw ping-pong',
    compare: 'of',
    figure: 'plugwire latency.p99',
    with: 'raw latency.p99',
    pins: core,
    atMost: 1.6,
  },
  ...against({ 'grpc-js': 15, 'vscode-jsonrpc': 4.5, capnweb: 2.8, 'ipc-json': 1.4, 'message-port': 1 }, (peer, name, atLeast) => ({
    id: `latency/${peer}`,
    words: `one call, p50, times lower than ${name}`,
    compare: 'below',
    figure: 'plugwire latency.p50',
    with: `${peer} latency.p50`,
    pins: core,
    atLeast,
  })),
  {
    id: 'busy-poll/raw',
    words: 'one call with busy-poll, p50, of a raw ping-pong that sleeps',
    compare: 'of',
    figure: 'plugwire-busy-poll latency.p50',
    with: 'raw latency.p50',
    pins: apart,
    atMost: 0.4,
  },
  ...against(
    { 'grpc-js': 120, 'vscode-jsonrpc': 19, capnweb: 11, 'ipc-json': 4, 'ipc-advanced': 8, 'message-port': 2.3 },
    faster('64 in flight', 'flight64', both),
  ),
  ...against({ 'grpc-js': 300 }, faster('1 000 in flight', 'flight1000', both)),
  {
    id: 'flight1000',
    words: '1 000 in flight',
    compare: 'alone',
    figure: 'plugwire flight1000.rate',
    pins: both,
    atLeast: 1_800_000,
    unit: 'calls/s',
  },
  {
    id: 'host-cpu/ipc-json',
    words: "host's CPU per call, 64 in flight, of IPC json",
    compare: 'of',
    figure: 'plugwire flight64.hostCpu',
    with: 'ipc-json flight64.hostCpu',
    pins: core,
    atMost: 0.1,
  },
  ...against({ 'ipc-json': 2.5, 'grpc-js': 60 }, faster('1 KiB record, 64 in flight', 'record64', both)),
  {
    id: 'bytes64k/raw',
    words: '64 KiB of bytes echoed, of the raw rate',
    compare: 'of',
    figure: 'plugwire bytes64k.rate',
    with: 'raw bytes64k.rate',
    pins: both,
    atLeast: 0.95,
  },
  ...(['upload', 'download'] as const).flatMap((direction): Goal[] => [
    {
      id: `${direction}/raw`,
      words: `${direction}, of the raw socket's rate`,
      compare: 'of',
      figure: `plugwire ${direction}.rate`,
      with: `raw ${direction}.rate`,
      pins: free,
      atLeast: 0.85,
    },
    {
      id: `${direction}Owned`,
      words: `${direction} with owned chunks, of borrowed`,
      compare: 'of',
      figure: `plugwire ${direction}Owned.rate`,
      with: `plugwire ${direction}.rate`,
      pins: free,
      atLeast: 0.65,
    },
    {
      id: `${direction}/grpc-js`,
      words: `${direction}, times the rate of @grpc/grpc-js`,
      compare: 'of',
      figure: `plugwire ${direction}.rate`,
      with: `grpc-js ${direction}.rate`,
      pins: free,
      atLeast: 15,
    },
  ]),
  {
    id: 'streams100',
    words: '100 streams together, of one',
    compare: 'of',
    figure: 'plugwire streams100.rate',
    with: 'plugwire upload.rate',
    pins: free,
    atLeast: 0.9,
  },
  ...(['Up', 'Down'] as const).flatMap((direction): Goal[] => [
    {
      id: `loaded${direction}/idle`,
      words: `one call beside a full ${direction.toLowerCase()}load, p50, of idle`,
      compare: 'alone',
      figure: `plugwire loaded${direction}.slower`,
      pins: apart,
      atMost: 1.5,
    },
    {
      id: `loaded${direction}/kept`,
      words: `share of its rate that this ${direction.toLowerCase()}load keeps`,
      compare: 'alone',
      figure: `plugwire loaded${direction}.kept`,
      pins: apart,
      atLeast: 0.75,
    },
  ]),
  {
    id: 'weights',
    words: 'weights 3:1, changed to 1:3 while running, off by',
    compare: 'alone',
    figure: 'plugwire weights.error',
    pins: free,
    atMost: 0.1,
  },
  {
    id: 'ceiling',
    words: 'a ceiling, changed while running, off by',
    compare: 'alone',
    figure: 'plugwire ceiling.error',
    pins: free,
    atMost: 0.05,
  },
  {
    id: 'start/empty',
    words: 'spawn to first completed call, of `node -e 0`',
    compare: 'of',
    figure: 'plugwire start.ms',
    with: 'empty start.ms',
    pins: free,
    atMost: 1.3,
  },
  {
    id: 'start/hello',
    words: 'spawn to first completed call, above a bare hello',
    compare: 'above',
    figure: 'plugwire start.ms',
    with: 'hello start.ms',
    pins: free,
    atMost: 5,
    unit: 'ms',
  },
  {
    id: 'standby',
    words: 'first call to a plugin started before',
    compare: 'alone',
    figure: 'plugwire standby.first',
    pins: free,
    atMost: 3,
    unit: 'ms',
  },
  {
    id: 'memory/hello',
    words: 'resident memory of an idle plugin, above a bare hello',
    compare: 'above',
    figure: 'plugwire memory.rss',
    with: 'hello memory.rss',
    pins: free,
    atMost: 1,
    unit: 'MB',
  },
  ...(['plugin', 'host'] as const).map(
    (side): Goal => ({
      id: `imports/${side}`,
      words: `importing plugwire/${side}`,
      compare: 'alone',
      figure: `plugwire imports.${side}`,
      pins: free,
      atMost: 3,
      unit: 'ms',
    }),
  ),
  {
    id: 'mtls',
    words: 'one call with mutual TLS, p50, of the same socket without',
    compare: 'of',
    figure: 'plugwire-unix-mtls latency.p50',
    with: 'plugwire-unix latency.p50',
    pins: core,
    atMost: 1.6,
  },
  ...(['latency.p50', 'flight64.rate', 'flight1000.rate', 'upload.rate', 'download.rate'] as const).map((figure): Goal => {
    const slower = figure === 'latency.p50'
    return {
      id: `grpc/${figure}`,
      words: `gRPC, ${grpcWords[figure]}, of plain grpc-js`,
      compare: 'of',
      figure: `grpc ${figure}`,
      with: `grpc-js ${figure}`,
      pins: free,
      ...(slower ? { atMost: 1.05 } : { atLeast: 0.95 }),
    }
  }),
  {
    id: 'grpc-start/grpc-js',
    words: 'gRPC, spawn to first call of a bundled plugin, of the same on plain grpc-js',
    compare: 'of',
    figure: 'grpc-bundled start.ms',
    with: 'grpc-js-bundled start.ms',
    pins: free,
    atMost: 1,
  },
  {
    id: 'grpc-mtls/plain',
    words: 'gRPC, 1 000 in flight with AutoMTLS, of the same without',
    compare: 'of',
    figure: 'grpc-mtls flight1000.rate',
    with: 'grpc flight1000.rate',
    pins: free,
    atLeast: 0.5,
  },
  ...Object.entries({ script: 1.1, 'native-20': 1.05, 'native-90': 1.05 }).map(
    ([what, atMost]): Goal => ({
      id: `verified-start/${what}`,
      words: `verified start of ${what === 'script' ? 'a script' : `a program of ${what.slice(7)} MiB`}, of a plain one`,
      compare: 'of',
      figure: `verified-${what} start.ms`,
      with: `plain-${what} start.ms`,
      pins: free,
      atMost,
    }),
  ),
  ...['native-20', 'native-90'].map(
    (what): Goal => ({
      id: `verify/${what}`,
      words: `verifying ${what.slice(7)} MiB for the first time, of reading and hashing them once`,
      compare: 'of',
      figure: `verified-${what} verify.ms`,
      with: `plain-${what} verify.ms`,
      pins: free,
      atMost: 1,
    }),
  ),
  // ---- go-plugin's net/rpc, beside itself in Go
  ...(
    [
      ['netrpc', 'TypeScript to TypeScript'],
      ['netrpc-to-go', 'TypeScript to Go'],
      ['netrpc-from-go', 'Go to TypeScript'],
    ] as const
  ).flatMap(([row, sides]): Goal[] => [
    {
      id: `${row}/latency`,
      words: `net/rpc, ${sides}: one call, p50, of Go to Go`,
      compare: 'of',
      figure: `${row} latency.p50`,
      with: 'go-netrpc latency.p50',
      pins: both,
      atMost: 2,
    },
    {
      id: `${row}/flight64`,
      words: `net/rpc, ${sides}: 64 in flight, of the rate of Go to Go`,
      compare: 'of',
      figure: `${row} flight64.rate`,
      with: 'go-netrpc flight64.rate',
      pins: both,
      atLeast: 0.5,
    },
  ]),
  ...(['upload', 'download'] as const).map(
    (direction): Goal => ({
      id: `netrpc-${direction}/raw`,
      words: `net/rpc: ${direction} through the broker, of the raw socket's rate`,
      compare: 'of',
      figure: `netrpc ${direction}.rate`,
      with: `raw ${direction}.rate`,
      pins: free,
      atLeast: 0.8,
    }),
  ),
  ...(['encode', 'decode'] as const).map(
    (way): Goal => ({
      id: `gob/${way}`,
      words: `1 KiB record, gob ${way}d, times the rate of JSON`,
      compare: 'alone',
      figure: `netrpc gob.${way}`,
      pins: free,
      atLeast: 1,
    }),
  ),
  {
    id: 'discovery',
    words: 'discovery of 1 000 candidates, CPU',
    compare: 'alone',
    figure: 'discovery verify.ms',
    pins: free,
    atMost: 50,
    unit: 'ms',
  },
]

/** Judges all goals; with two pins the worse one is told. */
export function judge(samples: Samples): Verdict[] {
  return goals.map(goal => {
    const told = goal.pins
      .map(pin => ({ pin, values: compare(goal, samples, pin) }))
      .filter(({ values }) => values.length > 0)
      .map(({ pin, values }) => ({ pin, measured: median(values), middleHalf: quartiles(values) }))
      .sort((a, b) => (goal.atLeast === undefined ? b.measured - a.measured : a.measured - b.measured))
    const worst = told[0]
    return {
      id: goal.id,
      words: goal.words,
      pin: worst?.pin,
      measured: worst?.measured,
      middleHalf: worst?.middleHalf,
      goal: goal.atLeast === undefined ? `≤ ${number(goal.atMost ?? Number.NaN)}` : `≥ ${number(goal.atLeast)}`,
      met: worst && (goal.atLeast === undefined ? worst.measured <= (goal.atMost ?? Number.NaN) : worst.measured >= goal.atLeast),
      unit: goal.unit ?? '',
    }
  })
}

function compare(goal: Goal, samples: Samples, pin: Pin): number[] {
  const row = series(samples, pin, goal.figure)
  if (goal.with === undefined) return row.filter(Number.isFinite)
  const other = series(samples, pin, goal.with)
  if (goal.compare === 'above') return paired(row, other, (a, b) => a - b)
  return goal.compare === 'below' ? paired(row, other, (a, b) => b / a) : paired(row, other, (a, b) => a / b)
}
