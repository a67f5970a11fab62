// Medians, ratios of what was measured in the same round, and how they are written.

export function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length === 0) return Number.NaN
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Combines two series round by round; the machine's mood of one round touches both sides alike. */
export function paired(a: readonly number[], b: readonly number[], combine: (a: number, b: number) => number): number[] {
  const rounds = Math.min(a.length, b.length)
  return Array.from({ length: rounds }, (_, round) => combine(a[round] as number, b[round] as number)).filter(Number.isFinite)
}

/** Half of the values lie between these two. */
export function quartiles(values: readonly number[]): [number, number] {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  const at = (share: number) =>
    sorted[share < 0.5 ? Math.floor((sorted.length - 1) * share) : Math.ceil((sorted.length - 1) * share)] ?? Number.NaN
  return [at(0.25), at(0.75)]
}

/** Three digits are all that such a measurement is worth. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return '—'
  const magnitude = Math.abs(value)
  if (magnitude >= 999_500) return `${Number((value / 1_000_000).toPrecision(3))} M`
  if (magnitude >= 9_995) return `${Number((value / 1_000).toPrecision(3))} k`
  return String(Number(value.toPrecision(3)))
}
