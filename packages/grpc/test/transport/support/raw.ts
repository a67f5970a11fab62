// A client made of nothing but node:http2, to say what our own client never would.

import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectSocket } from 'node:net'

export interface RawAnswer {
  readonly headers: IncomingHttpHeaders
  readonly trailers: IncomingHttpHeaders
  readonly data: Buffer
  readonly rstCode: number
}

export function rawSession(path: string): ClientHttp2Session {
  const session = connect('http://localhost', { createConnection: () => connectSocket(path) })
  session.on('error', () => {}) // its streams tell
  return session
}

/** One request with such a body; headers take the place of the usual ones, undefined ones are left out. */
export function rawCall(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body: Buffer | undefined): Promise<RawAnswer> {
  const usual: OutgoingHttpHeaders = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers', ...headers }
  const stream = session.request(Object.fromEntries(Object.entries(usual).filter(([, value]) => value !== undefined)))
  return new Promise(resolve => {
    let answer: IncomingHttpHeaders = {}
    let trailers: IncomingHttpHeaders = {}
    const data: Buffer[] = []
    stream.on('response', came => {
      answer = came
    })
    stream.on('trailers', came => {
      trailers = came
    })
    stream.on('data', chunk => data.push(chunk))
    stream.on('error', () => {}) // its code is told below
    stream.on('close', () =>
      resolve({ headers: answer, trailers, data: Buffer.concat(data), rstCode: stream.rstCode ?? constants.NGHTTP2_NO_ERROR }),
    )
    if (body === undefined) stream.end()
    else stream.end(body)
  })
}

export function frame(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0])
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}
