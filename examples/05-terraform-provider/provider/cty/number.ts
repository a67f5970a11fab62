// Terraform's numbers are decimal with hundreds of digits; JavaScript's are not. Here each of them has exactly one form that loses nothing:
// a `number` where its shortest text says the same, else a `bigint`, else a `Decimal`. Knows of no bytes.

import { CtyError } from './type.ts'

/** In its one form: see `numberOf`. */
export type CtyNumber = number | bigint | Decimal

/** A number with more digits behind the point than a `number` holds. */
export class Decimal {
  /** Plain, without exponent and without zeros at either end: `-0.1234567890123456789`. */
  readonly text: string

  /** @param text In the form above; `numberOf` makes it so. */
  constructor(text: string) {
    this.text = text
  }

  /** The nearest `number`. */
  valueOf(): number {
    return Number(this.text)
  }

  toString(): string {
    return this.text
  }
}

/** Places before or behind the point. Terraform keeps 512 bits, so about 155 digits; more is a mistake or an attack. */
const MAX_PLACES = 4_000

/**
 * The number that a text says, in its one form: an integer that a `number` holds exactly is a `number`, any other integer a `bigint`; with digits
 * behind the point it is a `number` when that one's shortest text is the same (`0.1`), else a `Decimal`.
 *
 * @param text Decimal, perhaps with an exponent.
 * @throws CtyError when it says none.
 */
export function numberOf(text: string): CtyNumber {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?$/.exec(text.length <= 2 * MAX_PLACES ? text : '')
  if (match === null || !(match[2] || match[3])) throw new CtyError(`${JSON.stringify(text.slice(0, 100))} is no number`)
  const fraction = match[3] ?? ''
  return scaled(BigInt(match[2] + fraction) * (match[1] === '-' ? -1n : 1n), fraction.length - Number(match[4] ?? 0))
}

/** The number that a `number` of JavaScript stands for: what its shortest text says, so `0.1` is a tenth. */
export function numberFrom(value: number | bigint): CtyNumber {
  if (typeof value === 'bigint') return integer(value)
  if (Number.isSafeInteger(value)) return value === 0 ? 0 : value
  if (Number.isNaN(value)) throw new CtyError('NaN is no number here')
  return Number.isFinite(value) ? numberOf(String(value)) : value
}

/** The number that the 64 bits of a `number` stand for exactly: those of `0.1` are a little more than a tenth. */
export function exactly(value: number): CtyNumber {
  if (!Number.isFinite(value) || Number.isSafeInteger(value)) return numberFrom(value)
  if (Number.isInteger(value)) return integer(BigInt(value))
  let places = 0
  let whole = value
  for (; !Number.isInteger(whole); places++) whole *= 2
  return scaled(BigInt(whole) * 5n ** BigInt(places), places)
}

/** The `number` whose 64 bits stand for exactly this number, if there is one. */
export function asDouble(value: CtyNumber): number | undefined {
  const double = Number(value)
  return Number.isFinite(double) === (typeof value !== 'number' || Number.isFinite(value)) && sameNumber(exactly(double), value)
    ? double
    : undefined
}

export function sameNumber(a: CtyNumber, b: CtyNumber): boolean {
  return a instanceof Decimal ? b instanceof Decimal && a.text === b.text : a === b
}

/** Plain decimal, no exponent: how Terraform writes a number that no shorter encoding holds. */
export function textOf(value: CtyNumber): string {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return String(value)
  const text = String(value)
  if (!text.includes('e')) return text
  const [digits = '', exponent] = text.split('e')
  const [whole = '', fraction = ''] = digits.split('.')
  return plain(BigInt(whole + fraction), fraction.length - Number(exponent))
}

/** `digits / 10 ** places`. */
function scaled(digits: bigint, places: number): CtyNumber {
  if (digits === 0n) return 0
  if (Math.abs(places) > MAX_PLACES) throw new CtyError(`a number with ${Math.abs(places)} places; ${MAX_PLACES} are enough`)
  if (places <= 0) return integer(digits * 10n ** BigInt(-places))
  const text = plain(digits, places)
  if (!text.includes('.')) return integer(BigInt(text))
  const double = Number(text)
  return double !== 0 && textOf(double) === text ? double : new Decimal(text)
}

function integer(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

function plain(digits: bigint, places: number): string {
  if (places <= 0) return String(digits * 10n ** BigInt(-places))
  const padded = String(digits < 0n ? -digits : digits).padStart(places + 1, '0')
  const fraction = padded.slice(-places).replace(/0+$/, '')
  return `${digits < 0n ? '-' : ''}${padded.slice(0, -places)}${fraction && '.'}${fraction}`
}
