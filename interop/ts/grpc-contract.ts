// The contract of the peers over gRPC. Its messages are read from proto/peer.proto at run time.

import { type Broker, bindClient, type GrpcClient, type GrpcHandlers, grpc, type ProtoService, proto } from '@plugwire/grpc'
import { contract, type Kind } from 'plugwire'
import { cookie } from './cookie.ts'

const file = new URL('../../proto/peer.proto', import.meta.url)

const service = <T>(name: string): ProtoService<T> => proto<T>(file, `plugwire.interop.${name}`)

export interface Key {
  key: string
}
export interface Entry {
  key: string
  value?: Uint8Array
  tags?: Record<string, string>
  revision?: bigint
}
export interface Item {
  index: number
  payload: Uint8Array
}
export interface Integer {
  value: bigint | number
}
export interface Total {
  sum: bigint
  count: bigint
}
type Nothing = Record<string, never>

export const KeyValue: ProtoService<{
  get(key: Key): Promise<Entry>
  put(entry: Entry): Promise<Entry>
  delete(key: Key): Promise<{ existed: boolean }>
}> = service('KeyValue')

export const Streams: ProtoService<{
  down(request: { count: number; size: number }): AsyncIterable<Item>
  sum(numbers: AsyncIterable<Integer>): Promise<Total>
  echo(items: AsyncIterable<Item>): AsyncIterable<Item>
}> = service('Streams')

export const Brokered: ProtoService<{
  callBack(request: { brokerId: number; times: number }): Promise<Total>
  open(start: Integer): Promise<{ brokerId: number }>
}> = service('Broker')

export const Counter: ProtoService<{ add(number: Integer): Promise<Total> }> = service('Counter')

export const Faults: ProtoService<{
  big(blob: { data: Uint8Array }): Promise<{ data: Uint8Array }>
  sleep(request: { ms: number }): Promise<Nothing>
  sleepers(request: Nothing): Promise<{ running: number; cancelled: number }>
  print(request: { stdout?: string; stderr?: string; raw?: string }): Promise<Nothing>
  log(request: { level: string; message: string; fields: Record<string, string> }): Promise<Nothing>
  panic(message: { text: string }): Promise<Nothing>
  exit(request: { code: number }): Promise<Nothing>
  about(request: Nothing): Promise<{ language: string; pid: bigint; version: number; pluginEnvironment: string[] }>
}> = service('Faults')

/** A service that Go plugins do not have, and ours without its method. */
const Empty: ProtoService<{ get(key: Record<string, never>): Promise<Record<string, never>> }> = proto(
  'syntax = "proto3"; package plugwire.interop; message Nothing {} service Empty { rpc Get(Nothing) returns (Nothing); }',
  'plugwire.interop.Empty',
)

/** What a host gets for the kind `broker`. */
export interface BrokerRemote {
  readonly broker: Broker
  readonly calls: GrpcClient<typeof Brokered>
}

export const grpcKinds = {
  kv: grpc(KeyValue),
  streams: grpc(Streams),
  faults: grpc(Faults),
  empty: grpc(Empty),
  broker: grpc<BrokerRemote, (broker: Broker) => GrpcHandlers<typeof Brokered>>({
    server: (registrar, broker, handlers) => registrar.add(Brokered, handlers(broker)),
    client: async (channel, broker) => ({ broker, calls: await bindClient(Brokered, channel) }),
  }),
} satisfies { readonly [name: string]: Kind }

export const grpcContract = contract({ name: 'peer', cookie, versions: { 3: grpcKinds } })
/** Offers nothing that any peer has. */
export const absentContract = contract({ name: 'peer', cookie, versions: { 9: grpcKinds } })

/** Byte i of the payload of an item is `(index + i) % 256`. */
export function payloadOf(index: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) bytes[i] = index + i
  return bytes
}

/** What either side serves behind a broker id. */
export function counterFrom(start: bigint): GrpcHandlers<typeof Counter> {
  let sum = start
  let count = 0n
  return {
    add({ value }) {
      sum += BigInt(value)
      count++
      return { sum, count }
    },
  }
}
