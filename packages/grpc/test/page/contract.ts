// #region contract
import { type Broker, bindClient, type GrpcClient, type GrpcHandlers, grpc, proto } from '@plugwire/grpc'
import { contract } from 'plugwire'

interface Store {
  get(request: { key: string }): Promise<{ value: string }>
  put(request: { key: string; value: string }): Promise<Record<string, never>>
  watch(request: { prefix: string }): AsyncIterable<{ key: string; value: string }>
}

const messages = `syntax = "proto3"; package kv;
  service Store {
    rpc Get(Key) returns (Value);
    rpc Put(Entry) returns (Nothing);
    rpc Watch(Prefix) returns (stream Entry);
  }
  service Progress { rpc Report(Lines) returns (Nothing); }
  service Loader { rpc Load(LoadRequest) returns (Lines); }
  message Key { string key = 1; }
  message Value { string value = 1; }
  message Entry { string key = 1; string value = 2; }
  message Prefix { string prefix = 1; }
  message Nothing {}
  message Lines { uint32 count = 1; }
  message LoadRequest { repeated string lines = 1; uint32 progress = 2; }`

export const Store = proto<Store>(messages, 'kv.Store') // or a path: proto<Store>(new URL('./kv.proto', import.meta.url), 'kv.Store')
// #endregion

// #region form
export const Progress = proto<{ report(lines: { count: number }): Promise<Record<string, never>> }>(messages, 'kv.Progress')
const Loader = proto<{ load(request: { lines: string[]; progress: number }): Promise<{ count: number }> }>(messages, 'kv.Loader')

/** What the host gets: the call and its callback in one. */
export interface LoaderClient {
  load(lines: string[], progress: (count: number) => void): Promise<number>
}

/** What the plugin's factory returns: a function, since it wants the broker. */
export type LoaderPlugin = (broker: Broker) => GrpcHandlers<typeof Loader>

const loader = grpc<LoaderClient, LoaderPlugin>({
  server: (registrar, broker, plugin) => registrar.add(Loader, plugin(broker)),
  async client(channel, broker) {
    const remote: GrpcClient<typeof Loader> = await bindClient(Loader, channel)
    return {
      async load(lines, progress) {
        const id = broker.nextId()
        const report = ({ count }: { count: number }) => {
          progress(count)
          return {}
        }
        const served = await broker.serve(id, registrar => registrar.add(Progress, { report }))
        try {
          return (await remote.load({ lines, progress: id })).count
        } finally {
          await served.close()
        }
      },
    }
  },
})
// #endregion

// #region kinds
export const kv = contract({
  name: 'kv',
  cookie: { key: 'KV_PLUGIN', value: 'hello' }, // MagicCookieKey and MagicCookieValue
  versions: { 1: { store: grpc(Store), loader } },
})
// #endregion
