// A secrets engine of Vault as an object. It is the full form of a grpc kind: the engine keeps nothing itself, but dials back through the broker
// and asks its host for a storage.

import { randomUUID } from 'node:crypto'
import { type Broker, bindClient, type Channel, type GrpcClient, grpc, proto } from '@plugwire/grpc'
import { contract } from 'plugwire'

const file = new URL('../../06-run-a-go-plugin/vault.proto', import.meta.url)

interface Backend {
  setup(request: { brokerId: number; config?: Record<string, string>; backendUuid?: string }): Promise<{ err: string }>
  initialize(request: object): Promise<{ err: Failure | null }>
  handleRequest(request: { request: Request }): Promise<{ response: { data: string; warnings: string[] } | null; err: Failure | null }>
  cleanup(request: object): Promise<object>
}

interface Request {
  id: string
  operation: 'read' | 'create' | 'update' | 'delete' | 'list'
  path: string
  data: string
}

interface Failure {
  errMsg: string
}

interface Entry {
  key: string
  value: Uint8Array
}

/** What an engine asks its host for. */
interface Storage {
  list(request: { prefix: string }): Promise<{ keys: string[] }>
  get(request: { key: string }): Promise<{ entry: Entry | null }>
  put(request: { entry: Entry | null }): Promise<object>
  delete(request: { key: string }): Promise<object>
}

const backend = proto<Backend>(file, 'pb.Backend')
const storage = proto<Storage>(file, 'pb.Storage')
const system = proto(file, 'pb.SystemView')

/** What Vault and a secrets engine agree on. */
export const vault = contract({
  name: 'vault-secrets',
  cookie: { key: 'VAULT_BACKEND_PLUGIN', value: '6669da05-b1c8-4f49-97d9-c8e5bed98e20' },
  versions: {
    5: {
      backend: grpc({
        server: () => {
          throw new Error('this contract is for hosts')
        },
        client: async (channel: Channel, broker: Broker) => new SecretsEngine(await bindClient(backend, channel), broker),
      }),
    },
  },
})

/** What a program of Vault's family needs in its environment: which Vault it is for, and that certificates are made by AutoMTLS. */
export const environment: { readonly [name: string]: string } = { VAULT_PLUGIN_AUTOMTLS_ENABLED: 'true', VAULT_VERSION: '1.20.0' }

export class SecretsEngine {
  readonly #backend: GrpcClient<typeof backend>
  readonly #broker: Broker
  /** One process holds any number of engines; every call says which it means. */
  readonly #metadata: { readonly multiplex_id: string } = { multiplex_id: randomUUID() }

  constructor(client: GrpcClient<typeof backend>, broker: Broker) {
    this.#backend = client
    this.#broker = broker
  }

  /** @param values Where the engine keeps what it is given, by its own keys. */
  async setup(values: Map<string, Uint8Array>): Promise<void> {
    const brokerId = this.#broker.nextId()
    await this.#broker.serve(brokerId, registrar => {
      void registrar.add(storage, storageOf(values))
      void registrar.add(system, systemView)
    })
    const { err } = await this.#backend.setup({ brokerId }, { metadata: this.#metadata })
    if (err !== '') throw new Error(err)
    await this.#backend.initialize({}, { metadata: this.#metadata })
  }

  /** @returns What the engine answers, or undefined when it has nothing to say. */
  async request(operation: Request['operation'], path: string, data: object = {}): Promise<Record<string, unknown> | undefined> {
    const request = { id: randomUUID(), operation, path, data: JSON.stringify(data) }
    const { response, err } = await this.#backend.handleRequest({ request }, { metadata: this.#metadata })
    if (err !== null) throw new Error(err.errMsg)
    const answer = response === null ? undefined : (JSON.parse(response.data) as Record<string, unknown>)
    if (typeof answer?.error === 'string') throw new Error(answer.error)
    return answer
  }

  async cleanup(): Promise<void> {
    await this.#backend.cleanup({}, { metadata: this.#metadata })
  }
}

function storageOf(values: Map<string, Uint8Array>): Storage {
  return {
    async list({ prefix }) {
      const below = [...values.keys()].filter(key => key.startsWith(prefix)).map(key => key.slice(prefix.length))
      // What lies deeper is named by its folder.
      return { keys: [...new Set(below.map(key => key.replace(/\/.*/s, '/')))].sort() }
    },
    async get({ key }) {
      const value = values.get(key)
      return { entry: value === undefined ? null : { key, value } }
    },
    async put({ entry }) {
      if (entry !== null) values.set(entry.key, entry.value)
      return {}
    },
    async delete({ key }) {
      values.delete(key)
      return {}
    },
  }
}

/** A Vault that is alone, healthy, and has leases of a day. */
const systemView = {
  defaultLeaseTTL: () => ({ ttl: 86_400 }),
  maxLeaseTTL: () => ({ ttl: 86_400 }),
  tainted: () => ({ tainted: false }),
  cachingDisabled: () => ({ disabled: false }),
  replicationState: () => ({ state: 0 }),
  mlockEnabled: () => ({ enabled: false }),
  localMount: () => ({ local: true }),
}
