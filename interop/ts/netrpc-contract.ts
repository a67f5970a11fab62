// The contract of the peers over net/rpc: what go/netrpc_plugin.go declares, with what a broker id stands for in its place.

import { method, netrpc, reader, remote, writer } from '@plugwire/netrpc'
import {
  bigInt,
  bool,
  byteArray,
  bytes,
  complex,
  float,
  iface,
  int,
  int32,
  int64,
  lazy,
  map,
  pointer,
  preciseTime,
  registry,
  type Schema,
  slice,
  string,
  struct,
  type TypeOf,
  uint32,
  uint64,
} from '@plugwire/netrpc/gob'
import { contract } from 'plugwire'
import { cookie } from './cookie.ts'

export const entry = struct('main.Entry', { Key: string, Value: bytes, Tags: map(string, string), Revision: uint64 })
export type Entry = TypeOf<typeof entry>

const row = struct('main.Row', { Name: string, Score: float, Tags: slice(string), Ok: bool })
/** Values of any of the types that are registered in Go. */
export const anything = iface(registry({ 'interop.Row': row }))

const reportFields = struct({
  Title: string,
  Made: preciseTime,
  Rows: slice(row),
  Totals: map(string, float),
  Matrix: slice(slice(int32)),
  Checksum: byteArray(4),
  Huge: pointer(bigInt),
  Ratio: complex,
  Extra: map(string, anything),
})
export interface Report extends TypeOf<typeof reportFields> {
  Parent: Report | null
}
const report: Schema<Report> = struct('main.Report', {
  Title: string,
  Made: preciseTime,
  Rows: slice(row),
  Totals: map(string, float),
  Matrix: slice(slice(int32)),
  Checksum: byteArray(4),
  Huge: pointer(bigInt),
  Ratio: complex,
  Parent: pointer(lazy(() => report)),
  Extra: map(string, anything),
}) as Schema<Report>

const none = struct('main.None', {})
const poured = struct('main.Poured', { Bytes: int64, Crc: uint32 })
export type Poured = TypeOf<typeof poured>

export const counterMethods = { Add: method(int64, int64) }

export const netrpcKinds = {
  kv: netrpc({
    Put: method(entry, entry),
    Get: method(string, entry),
    All: method(string, map(string, entry)),
    Delete: method(string, bool),
    Any: method(map(string, anything), map(string, anything)),
  }),
  counter: netrpc(counterMethods),
  broker: netrpc({
    CallBack: method(struct('main.CallBackArgs', { Id: remote(counterMethods), Times: int }), int64),
    Open: method(int64, remote(counterMethods)),
    Pour: method(struct('main.PourArgs', { Id: writer(), Bytes: int64 }), poured),
    Drain: method(reader(), poured),
  }),
  faults: netrpc({
    Big: method(bytes, bytes),
    Reverse: method(report, report),
    Sleep: method(int, none),
    Print: method(struct('main.PrintArgs', { Stdout: string, Stderr: string, Raw: string }), none),
    Log: method(struct('main.LogArgs', { Level: string, Message: string, Fields: map(string, string) }), none),
    Panic: method(string, none),
    Exit: method(int, none),
    About: method(none, struct('main.AboutReply', { Language: string, Pid: int, Version: int, PluginEnvironment: slice(string) })),
  }),
}

/** What a host asks for although the plugin does not have it. */
const more = {
  ...netrpcKinds,
  absent: netrpc({}),
  /** An id that stands for nothing. */
  broker: netrpc({ CallBack: method(struct('main.CallBackArgs', { Id: uint32, Times: int }), int64) }),
  /** Methods that `kv` does not have, or has with other types. */
  kv: netrpc({ Absent: method(string, entry), Get: method(entry, entry) }),
}

export const netrpcContract = contract({ name: 'peer', cookie, versions: { 2: netrpcKinds } })
export const wrongContract = contract({ name: 'peer', cookie, versions: { 2: more } })
/** Offers nothing that any peer has. */
export const absentContract = contract({ name: 'peer', cookie, versions: { 9: netrpcKinds } })

/** What either side serves behind a broker id, and the plugin as a kind. */
export class Counter {
  #sum: bigint

  constructor(start: bigint) {
    this.#sum = start
  }

  Add(value: bigint): bigint {
    this.#sum += value
    return this.#sum
  }
}
