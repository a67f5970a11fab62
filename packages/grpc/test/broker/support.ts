// Two brokers that talk to each other, and a service by which to tell where a call arrived. Connections are real sockets.

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { socketLink } from 'plugwire/driver'
import { AddressLine } from '../../src/broker/address-line.ts'
import { KnockLine } from '../../src/broker/knock-line.ts'
import { hear, InfoQueue, type Line, type LineGround } from '../../src/broker/line.ts'
import { SharedConnection } from '../../src/broker/shared-connection.ts'
import type { ConnInfo } from '../../src/plugin-services/control-messages.ts'
import { openChannel } from '../../src/transport/channel.ts'
import type { MethodDefinition } from '../../src/transport/definition.ts'
import type { Channel, GrpcServer } from '../../src/transport/seam.ts'
import { createGrpcServer } from '../../src/transport/server.ts'

const text = (message: string): Buffer => Buffer.from(message)

/** Answers with the name of who was asked. */
export const who: MethodDefinition<string, string> = {
  path: '/test.Who/Ask',
  requestStream: false,
  responseStream: false,
  requestSerialize: text,
  requestDeserialize: String,
  responseSerialize: text,
  responseDeserialize: String,
}

export const named =
  (name: string) =>
  (server: GrpcServer): void =>
    server.add({ Ask: who }, { Ask: () => name })

export const ask = (channel: Channel): Promise<string> => channel.unary(who, '', { timeoutMs: 5_000 })

/** Where one side listens, with the sockets that it has left behind. */
export class Place {
  readonly directory: string
  readonly #servers = new Set<Server>()
  readonly sockets = new Set<Socket>()
  #count = 0

  private constructor(directory: string) {
    this.directory = directory
  }

  static async make(t: TestContext): Promise<Place> {
    const place = new Place(await mkdtemp(join(tmpdir(), 'grpc-broker-')))
    t.after(() => {
      for (const server of place.#servers) server.close()
      for (const socket of place.sockets) socket.destroy()
      rmSync(place.directory, { recursive: true })
    })
    return place
  }

  async listen(onConnection: (socket: Socket) => void): Promise<{ network: 'unix'; address: string; close: () => void }> {
    const address = join(this.directory, String(++this.#count))
    const server = createServer({ pauseOnConnect: true }, socket => {
      this.#keep(socket)
      onConnection(socket)
    }).listen(address)
    this.#servers.add(server)
    await once(server, 'listening')
    return { network: 'unix', address, close: () => void server.close() }
  }

  async connect(address: string): Promise<Socket> {
    const socket = this.#keep(connect(address))
    await once(socket, 'connect')
    return socket
  }

  #keep(socket: Socket): Socket {
    this.sockets.add(socket)
    socket.on('error', () => {}).once('close', () => this.sockets.delete(socket))
    return socket
  }

  /** Two ends of one connection. */
  async pair(): Promise<[Socket, Socket]> {
    const accepted = withResolvers<Socket>()
    const { address, close } = await this.listen(accepted.resolve)
    const ends: [Socket, Socket] = [await this.connect(address), await accepted.promise]
    close()
    return ends
  }
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve = (_value: T): void => {}
  const promise = new Promise<T>(settle => (resolve = settle))
  return { promise, resolve }
}

export function groundOf(place: Place, meetingMs: number): LineGround {
  return {
    meetingMs,
    createServer: () => createGrpcServer(),
    createChannel: dial => openChannel(dial, { connectTimeoutMs: 1_000 }),
    listen: onConnection => place.listen(onConnection),
    connectTo: (_network, address) => place.connect(address),
  }
}

/** A line whose other side is the test: `said` is what it says. */
export interface Alone {
  readonly line: Line
  readonly said: AsyncIterator<ConnInfo>
  hear(info: Partial<ConnInfo>): void
}

export function alone(line: Line, say: InfoQueue): Alone {
  return {
    line,
    said: say[Symbol.asyncIterator](),
    hear: info => line.receive({ serviceId: 0, network: '', address: '', knock: undefined, ...info }),
  }
}

/** Two lines that hear what the other says. */
function introduce(one: Line, oneSays: InfoQueue, two: Line, twoSays: InfoQueue): [Line, Line] {
  void hear(one, twoSays)
  void hear(two, oneSays)
  return [one, two]
}

export async function addressLine(t: TestContext, meetingMs = 5_000): Promise<Alone & { readonly place: Place }> {
  const place = await Place.make(t)
  const say = new InfoQueue()
  const line = new AddressLine(groundOf(place, meetingMs), say)
  t.after(() => line.end())
  return { ...alone(line, say), place }
}

export async function addressLines(t: TestContext, meetingMs = 5_000): Promise<[Line, Line]> {
  const ground = groundOf(await Place.make(t), meetingMs)
  const [oneSays, twoSays] = [new InfoQueue(), new InfoQueue()]
  const lines = introduce(new AddressLine(ground, oneSays), oneSays, new AddressLine(ground, twoSays), twoSays)
  t.after(() => {
    for (const line of lines) line.end()
  })
  return lines
}

/** Two ends of one socket that is cut into streams. */
export async function sharedConnections(t: TestContext): Promise<[SharedConnection, SharedConnection]> {
  const place = await Place.make(t)
  const [one, two] = await place.pair()
  const ends: [SharedConnection, SharedConnection] = [
    new SharedConnection(socketLink({ socket: one }), { role: 'client', onEnded: () => {} }),
    new SharedConnection(socketLink({ socket: two }), { role: 'server', onEnded: () => {} }),
  ]
  t.after(() => {
    for (const end of ends) end.destroy()
  })
  return ends
}

export interface KnockLines {
  readonly lines: [Line, Line]
  readonly connections: [SharedConnection, SharedConnection]
}

export async function knockLines(t: TestContext, meetingMs = 5_000): Promise<KnockLines> {
  const connections = await sharedConnections(t)
  const ground = groundOf(await Place.make(t), meetingMs)
  const [oneSays, twoSays] = [new InfoQueue(), new InfoQueue()]
  const one = new KnockLine(ground, oneSays, connections[0])
  const two = new KnockLine(ground, twoSays, connections[1])
  return { lines: introduce(one, oneSays, two, twoSays), connections }
}

export async function knockLine(
  t: TestContext,
  meetingMs = 5_000,
): Promise<Alone & { readonly connections: [SharedConnection, SharedConnection] }> {
  const connections = await sharedConnections(t)
  const say = new InfoQueue()
  return { ...alone(new KnockLine(groundOf(await Place.make(t), meetingMs), say, connections[0]), say), connections }
}
