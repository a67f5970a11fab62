// Versions as semver.org 2.0.0 defines them: read, compared, never guessed. Ranges are for those who choose; here versions are only ordered.

const pattern =
  /^(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,14})(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*))?(?:\+[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*)?$/

/** Whether a text is a semver version, of at most 128 characters. */
export const isVersion = (text: string): boolean => text.length <= 128 && pattern.test(text)

/**
 * Negative when `a` comes before `b`, 0 when they have the same rank (build metadata does not count), positive otherwise.
 * @throws RangeError when one of them is no version.
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)]
  for (let i = 0; i < 3; i++) {
    const order = Number(left.numbers[i]) - Number(right.numbers[i])
    if (order !== 0) return order
  }
  if (left.pre.length === 0 || right.pre.length === 0) return right.pre.length - left.pre.length
  for (let i = 0; i < Math.max(left.pre.length, right.pre.length); i++) {
    const [x, y] = [left.pre[i], right.pre[i]]
    if (x === undefined || y === undefined) return left.pre.length - right.pre.length
    const order = compareIdentifiers(x, y)
    if (order !== 0) return order
  }
  return 0
}

function compareIdentifiers(x: string, y: string): number {
  const [xIsNumber, yIsNumber] = [/^\d+$/.test(x), /^\d+$/.test(y)]
  if (xIsNumber !== yIsNumber) return xIsNumber ? -1 : 1
  // Without leading zeros the longer number is the larger one, whatever its size.
  if (xIsNumber && x.length !== y.length) return x.length - y.length
  return x < y ? -1 : x > y ? 1 : 0
}

function parts(text: string): { readonly numbers: readonly string[]; readonly pre: readonly string[] } {
  const match = text.length <= 128 ? pattern.exec(text) : null
  if (match === null) throw new RangeError(`${JSON.stringify(text.slice(0, 130))} is no version`)
  return { numbers: match.slice(1, 4), pre: match[4]?.split('.') ?? [] }
}
