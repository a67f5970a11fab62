// Metadata and status as HTTP/2 headers, in both directions. Source: grpc/grpc doc/PROTOCOL-HTTP2.md.

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { GrpcError } from './grpc-error.ts'
import { MAX_HEADER_BYTES } from './http2-session.ts'
import { Metadata, type MetadataValue } from './metadata.ts'
import { Status, type StatusCode } from './status.ts'

export const CONTENT_TYPE = 'application/grpc'

/** Bytes of one header that are sent: nghttp2, and with it Node and Envoy, ends the connection on which a larger one comes. Source: nghttp2 NGHTTP2_HD_MAX_NV. */
const MAX_VALUE_BYTES = 64 * 1024

/** What belongs to the protocol or to the connection: neither shown as metadata nor sent from it. `grpc-…` comes on top. */
const reserved = new Set([
  'content-type',
  'te',
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'content-length',
  'date',
])

/** Puts metadata among headers that are about to be sent. */
export function addMetadata(headers: OutgoingHttpHeaders, metadata: Metadata): void {
  for (const [name, value] of metadata) {
    if (reserved.has(name) || name === 'user-agent') continue
    const text = typeof value === 'string' ? value : base64(value)
    const earlier = headers[name]
    if (earlier === undefined) headers[name] = text
    else headers[name] = Array.isArray(earlier) ? [...earlier, text] : [String(earlier), text]
  }
}

/**
 * Holds headers with metadata to what can be sent.
 *
 * @throws GrpcError INTERNAL when they are too large.
 */
export function checkSize(headers: OutgoingHttpHeaders): void {
  let bytes = 0
  for (const [name, value] of Object.entries(headers)) {
    // Each header counts 32 bytes beyond its own. Source: RFC 9113 section 6.5.2.
    for (const one of Array.isArray(value) ? value : [String(value)]) {
      if (one.length > MAX_VALUE_BYTES) {
        throw new GrpcError(Status.INTERNAL, `${name} would take ${one.length} bytes, at most ${MAX_VALUE_BYTES} can be sent in one header`)
      }
      bytes += name.length + one.length + 32
    }
  }
  if (bytes > MAX_HEADER_BYTES) {
    throw new GrpcError(Status.INTERNAL, `the headers would take ${bytes} bytes, at most ${MAX_HEADER_BYTES} can be sent`)
  }
}

/** @param raw Names and values in turn, as they came. */
export function readMetadata(raw: readonly string[]): Metadata {
  const pairs: [string, MetadataValue][] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] as string
    const value = raw[index + 1] as string
    if (name.startsWith(':') || name.startsWith('grpc-') || reserved.has(name)) continue
    if (!name.endsWith('-bin')) pairs.push([name, value])
    // Several values of one name may come as one, parted by commas, which base64 has none of.
    else for (const part of value.split(',')) pairs.push([name, Buffer.from(part.trim(), 'base64')])
  }
  return Metadata.received(pairs)
}

/** Writes the status into headers: `error` undefined means OK. */
export function addStatus(headers: OutgoingHttpHeaders, error: GrpcError | undefined): void {
  headers['grpc-status'] = String(error === undefined ? Status.OK : error.code)
  if (error === undefined) return
  if (error.message !== '') headers['grpc-message'] = shortened(encodeMessage(error.message.slice(0, MAX_VALUE_BYTES)))
  if (error.detailsBytes !== undefined) headers['grpc-status-details-bin'] = base64(error.detailsBytes)
  if (error.metadata.size > 0) addMetadata(headers, error.metadata)
}

/**
 * Reads a status from trailers, or from headers that are all there is.
 *
 * @returns undefined for OK, null when there is no status among them.
 */
export function readStatus(headers: IncomingHttpHeaders, metadata: () => Metadata): GrpcError | undefined | null {
  const text = headers['grpc-status']
  if (text === undefined) return null
  if (text === '0') return undefined
  const code = /^\d{1,9}$/.test(String(text)) ? Number(text) : Status.UNKNOWN
  const details = headers['grpc-status-details-bin']
  return new GrpcError(code as StatusCode, decodeMessage(String(headers['grpc-message'] ?? '')), {
    metadata: metadata(),
    ...(details !== undefined && { details: Buffer.from(String(details), 'base64') }),
  })
}

/** `grpc-message`: UTF-8 with all but printable ASCII, and the percent sign, percent-encoded. */
export function encodeMessage(message: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message
  let text = ''
  for (const byte of Buffer.from(message)) {
    text +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return text
}

/** Cut so that no encoded byte is parted. */
function shortened(encoded: string): string {
  return encoded.length <= MAX_VALUE_BYTES ? encoded : encoded.slice(0, MAX_VALUE_BYTES).replace(/%.?$/, '')
}

/** What is not properly encoded stays as it came: a status must never be lost for its message. */
export function decodeMessage(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/(?:%[0-9a-fA-F]{2})+/g, run => Buffer.from(run.replaceAll('%', ''), 'hex').toString())
}

/** Without padding, as the protocol prefers; we read both. */
function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64').replace(/=+$/, '')
}
