// What hosts rely on in plugins that speak net/rpc. Source: go-plugin rpc_client.go, rpc_server.go, mux_broker.go; Go's net/rpc.

import { existsSync } from 'node:fs'
import { type AnySchema, any, bool, Decoder, Encoder, string, struct, uint } from '@plugwire/netrpc/gob'
import { duplexLink } from 'plugwire/driver'
import { Session, type Stream } from 'plugwire/mux'
import { demand, Unmet, Unseen } from '../../check.ts'
import type { GoCheck, GoSubject } from '../check.ts'
import type { GoPeer } from '../go-peer.ts'

const KILL_MS = 2_000

const requestHeader = struct('Request', { ServiceMethod: string, Seq: uint })
const responseHeader = struct('Response', { ServiceMethod: string, Seq: uint, Error: string })

interface Reply {
  readonly error: string
  readonly value: unknown
}

/** net/rpc by hand on one stream, one call after the other. */
class RawRpc {
  readonly #stream: Stream
  readonly #peer: GoPeer
  readonly #encoder = new Encoder()
  readonly #decoder = new Decoder()
  #seq = 0

  constructor(stream: Stream, peer: GoPeer) {
    this.#stream = stream
    this.#peer = peer
  }

  async call(method: string, schema: AnySchema, value: unknown): Promise<Reply> {
    this.#stream.write(
      Buffer.concat([
        this.#encoder.encode(requestHeader, { ServiceMethod: method, Seq: this.#seq++ }),
        this.#encoder.encode(schema as typeof bool, value as boolean),
      ]),
    )
    const header = (await this.#value(responseHeader, method)) as { Error: string }
    return { error: header.Error, value: await this.#value(any, method) }
  }

  async #value(schema: AnySchema, method: string): Promise<unknown> {
    for (;;) {
      const next = this.#decoder.next(schema as typeof any)
      if (next !== undefined) return next.value
      const chunk = await this.#peer.within(this.#stream.read(), `no answer to ${method}`)
      if (chunk === undefined) throw new Unmet(`the stream ended before the answer to ${method}`)
      this.#decoder.push(chunk)
    }
  }
}

async function connected(subject: GoSubject): Promise<{ peer: GoPeer; session: Session; control: RawRpc }> {
  const peer = await subject.launch()
  const session = new Session(duplexLink(await peer.connect()), { role: 'client', onEnded: () => undefined })
  // The order is the protocol: control, stdout, stderr.
  const control = session.open()
  for (const output of [session.open(), session.open()]) output.consume({ chunk: () => {}, end: () => {}, fail: () => {} })
  return { peer, session, control: new RawRpc(control, peer) }
}

async function ask(subject: GoSubject, use: (to: { peer: GoPeer; session: Session; control: RawRpc }) => Promise<string>): Promise<string> {
  const to = await connected(subject)
  try {
    return await use(to)
  } finally {
    to.session.destroy()
  }
}

async function brokered(session: Session, id: number, peer: GoPeer): Promise<Stream> {
  const stream = session.open()
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(id)
  stream.write(bytes)
  let answer: Buffer = Buffer.alloc(0)
  while (answer.length < 4) {
    const chunk = await peer.within(stream.read(), `id ${id} was not accepted`)
    if (chunk === undefined) throw new Unmet(`the stream for id ${id} was closed`)
    answer = Buffer.concat([answer, chunk])
  }
  demand(answer.readUInt32LE() === id, () => `id ${id} was acknowledged as ${answer.readUInt32LE()}`)
  return stream
}

export const netrpcChecks: readonly GoCheck[] = [
  {
    id: 'netrpc.ping',
    protocol: 'netrpc',
    demands: 'on the first stream it answers Control.Ping',
    otherwise: '`Ping` fails',
    look: subject =>
      ask(subject, async ({ control }) => {
        const { error } = await control.call('Control.Ping', bool, true)
        demand(error === '', () => error)
        return 'answered'
      }),
  },
  {
    id: 'netrpc.unknown-method',
    protocol: 'netrpc',
    demands: "methods and services that it has not are answered with Go's own errors, and the connection goes on",
    otherwise: 'the host waits for ever, or loses the plugin',
    look: subject =>
      ask(subject, async ({ control }) => {
        const method = await control.call('Control.None', bool, true)
        demand(/can't find method/.test(method.error), () => `Control.None: ${method.error || 'no error'}`)
        const service = await control.call('None.Such', bool, true)
        demand(/can't find service/.test(service.error), () => `None.Such: ${service.error || 'no error'}`)
        const formless = await control.call('formless', bool, true)
        demand(/ill-formed/.test(formless.error), () => `formless: ${formless.error || 'no error'}`)
        const { error } = await control.call('Control.Ping', bool, true)
        demand(error === '', () => `after these, Control.Ping: ${error}`)
        return 'three errors, then an answer'
      }),
  },
  {
    id: 'netrpc.unknown-kind',
    protocol: 'netrpc',
    demands: 'a kind that it has not is refused by name',
    otherwise: 'the host dials a broker id that nobody accepts, and waits',
    look: subject =>
      ask(subject, async ({ control }) => {
        const { error } = await control.call('Dispenser.Dispense', string, 'no such kind')
        demand(error === 'unknown plugin type: no such kind', () => error || 'no error')
        return error
      }),
  },
  {
    id: 'netrpc.dispense',
    protocol: 'netrpc',
    demands: 'each dispense gives an id of its own, which can be dialled, and behind it a service `Plugin`',
    otherwise: '`Dispense` fails',
    look: subject =>
      ask(subject, async ({ peer, session, control }) => {
        const { kind } = subject
        if (kind === undefined) throw new Unseen('nobody said what it dispenses: give a kind')
        const ids: number[] = []
        for (let turn = 0; turn < 2; turn++) {
          const { error, value } = await control.call('Dispenser.Dispense', string, kind)
          demand(error === '', () => error)
          demand(typeof value === 'number' && value > 0, () => `the id is ${String(value)}`)
          ids.push(value as number)
          const instance = new RawRpc(await brokered(session, value as number, peer), peer)
          const answer = await instance.call('Plugin.NoSuchMethod', bool, true)
          demand(/can't find method/.test(answer.error), () => `Plugin.NoSuchMethod: ${answer.error || 'no error'}`)
        }
        demand(ids[0] !== ids[1], () => `twice the id ${ids[0]}`)
        return `ids ${ids.join(' and ')}`
      }),
  },
  {
    id: 'netrpc.silent-stream',
    protocol: 'netrpc',
    demands: 'it goes on serving while an id that nobody accepts is dialled',
    otherwise: 'one wrong id costs everything',
    look: subject =>
      ask(subject, async ({ session, control }) => {
        const stream = session.open()
        stream.write(Buffer.of(0x39, 5, 0, 0))
        const { error } = await control.call('Control.Ping', bool, true)
        demand(error === '', () => error)
        return 'it answers'
      }),
  },
  {
    id: 'netrpc.quit',
    protocol: 'netrpc',
    demands: 'told to quit it answers, and ends by itself within two seconds, without its socket',
    otherwise: 'every host waits two seconds for each plugin, and kills it',
    look: subject =>
      ask(subject, async ({ peer, control }) => {
        const { error } = await control.call('Control.Quit', bool, true)
        demand(error === '', () => error)
        const { exitCode, signal } = await peer.within(peer.exited, 'it still ran after Control.Quit', KILL_MS)
        demand(signal === null, () => `it was ended by ${signal}`)
        demand(peer.network !== 'unix' || !existsSync(peer.address), () => `${peer.address} is still there`)
        return `exit code ${exitCode}`
      }),
  },
]
