// Go types with bytes of their own that many programs send: time.Time and big.Int. Sources: time/time.go MarshalBinary, math/big/intmarsh.go.

import type { GoTime, OpaqueCodec, Schema } from './schema.ts'
import { gobEncoder } from './schema.ts'

/** Seconds from 0001-01-01 to 1970-01-01, both 00:00 UTC. */
const YEAR_ONE = 62_135_596_800n
const MAX_INT64 = (1n << 63n) - 1n

const preciseCodec: OpaqueCodec<GoTime> = {
  encode: ({ seconds, nanoseconds, offsetSeconds }) => {
    if (!Number.isInteger(nanoseconds) || nanoseconds < 0 || nanoseconds > 999_999_999) throw new RangeError(`${nanoseconds} nanoseconds`)
    const sinceYearOne = seconds + YEAR_ONE
    if (sinceYearOne > MAX_INT64 || sinceYearOne < -MAX_INT64 - 1n) throw new RangeError(`${seconds} seconds`)
    const offset = offsetSeconds ?? 0
    const minutes = offsetSeconds === undefined ? -1 : Math.trunc(offset / 60)
    // Go keeps -1 for UTC and so cannot send an offset of one minute west.
    if (!Number.isInteger(offset) || minutes < -32768 || minutes > 32767 || (offsetSeconds !== undefined && minutes === -1))
      throw new RangeError(`a zone offset of ${offset} seconds`)
    const version = offset % 60 === 0 ? 1 : 2
    const view = new DataView(new ArrayBuffer(version + 14))
    view.setUint8(0, version)
    view.setBigInt64(1, sinceYearOne)
    view.setUint32(9, nanoseconds)
    view.setInt16(13, minutes)
    if (version === 2) view.setInt8(15, offset % 60)
    return new Uint8Array(view.buffer)
  },
  decode: bytes => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const version = bytes[0]
    if (version === undefined) throw new RangeError('a time of no bytes')
    if (version !== 1 && version !== 2) throw new RangeError(`a time of version ${version}`)
    if (bytes.length !== version + 14) throw new RangeError(`a time of ${bytes.length} bytes`)
    const minutes = view.getInt16(13)
    const nanoseconds = view.getInt32(9)
    if (nanoseconds < 0 || nanoseconds > 999_999_999) throw new RangeError(`a time with ${nanoseconds} nanoseconds`)
    return {
      seconds: view.getBigInt64(1) - YEAR_ONE,
      nanoseconds,
      offsetSeconds: minutes === -1 ? undefined : minutes * 60 + (version === 2 ? view.getInt8(15) : 0),
    }
  },
  zero: () => ({ seconds: -YEAR_ONE, nanoseconds: 0, offsetSeconds: undefined }),
  isZero: value => value.seconds === -YEAR_ONE && value.nanoseconds === 0 && value.offsetSeconds === undefined,
}

const ZERO_DATE = Number(-YEAR_ONE) * 1000

/** `time.Time` with all it holds. */
export const preciseTime: Schema<GoTime> = gobEncoder('time.Time', preciseCodec)

/**
 * `time.Time` as a `Date`: rounded down to milliseconds, the zone is lost, and what is sent is UTC. Go's zero time is the start of year 1.
 * Times beyond a `Date` (271,821 BC to 275,760 AD) are refused; `preciseTime` keeps everything.
 */
export const time: Schema<Date> = gobEncoder('time.Time', {
  encode: date => {
    const ms = date.getTime()
    if (Number.isNaN(ms)) throw new RangeError('an invalid Date')
    const seconds = Math.floor(ms / 1000)
    return preciseCodec.encode({ seconds: BigInt(seconds), nanoseconds: (ms - seconds * 1000) * 1_000_000, offsetSeconds: undefined })
  },
  decode: bytes => {
    const { seconds, nanoseconds } = preciseCodec.decode(bytes)
    const date = new Date(Number(seconds) * 1000 + Math.floor(nanoseconds / 1_000_000))
    if (Number.isNaN(date.getTime())) throw new RangeError(`a time ${seconds} seconds from 1970, which a Date cannot hold`)
    return date
  },
  zero: () => new Date(ZERO_DATE),
  isZero: date => date.getTime() === ZERO_DATE,
})

/**
 * `big.Int`. Go programs mostly hold `*big.Int`: that is `pointer(bigInt)`, and null when nil.
 */
export const bigInt: Schema<bigint> = gobEncoder('math/big.Int', {
  encode: value => {
    const hex = (value < 0n ? -value : value).toString(16)
    const digits = value === 0n ? '' : hex.length % 2 === 0 ? hex : `0${hex}`
    const bytes = new Uint8Array(1 + digits.length / 2)
    bytes[0] = value < 0n ? 3 : 2
    bytes.set(Buffer.from(digits, 'hex'), 1)
    return bytes
  },
  decode: bytes => {
    // Go sends a nil *big.Int inside another value as no bytes at all.
    if (bytes.length === 0) return 0n
    const head = bytes[0] as number
    if (head >> 1 !== 1) throw new RangeError(`a big.Int of version ${head >> 1}`)
    if (bytes.length === 1) return 0n
    const magnitude = BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.length - 1).toString('hex')}`)
    return head & 1 ? -magnitude : magnitude
  },
  zero: () => 0n,
  onPointer: true,
})
