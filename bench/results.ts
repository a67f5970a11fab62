// What a run leaves: every figure of every round, and on what it was measured.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import type { Verdict } from './goals.ts'
import type { Figures } from './harness/subject.ts'
import type { Pin } from './measures.ts'
import { rows } from './rows.ts'

/** pin -> row -> `measure.figure` -> one value per round, NaN where the row failed. */
export type Samples = Record<string, Record<string, Record<string, number[]>>>

export interface Results {
  readonly when: string
  readonly command: string
  readonly machine: { readonly node: string; readonly kernel: string; readonly cpu: string; readonly cores: number }
  readonly versions: Record<string, string>
  readonly rounds: number
  readonly milliseconds: number
  readonly failures: readonly string[]
  readonly samples: Samples
  readonly goals: readonly Verdict[]
}

export function record(samples: Samples, pin: Pin, row: string, measure: string, figures: Figures): void {
  samples[pin] ??= {}
  const ofPin = samples[pin]
  ofPin[row] ??= {}
  const ofRow = ofPin[row]
  for (const [figure, value] of Object.entries(figures)) {
    ofRow[`${measure}.${figure}`] ??= []
    ofRow[`${measure}.${figure}`]?.push(value)
  }
}

/** @param figure `row measure.figure`. */
export function series(samples: Samples, pin: Pin, figure: string): number[] {
  const [row, name] = figure.split(' ') as [string, string]
  // JSON has no NaN: it comes back as null.
  return (samples[pin]?.[row]?.[name] ?? []).map(value => value ?? Number.NaN)
}

export function machine(): Results['machine'] {
  const all = cpus()
  return { node: process.version, kernel: `${process.platform} ${release()}`, cpu: all[0]?.model.trim() ?? 'unknown', cores: all.length }
}

export function versions(): Record<string, string> {
  const found: Record<string, string> = {}
  for (const { package: name } of rows) if (name !== undefined) found[name] = versionOf(name)
  return found
}

/** Some packages do not export their manifest, so it is read from node_modules. */
function versionOf(name: string): string {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    try {
      const manifest = JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as { version: string }
      return manifest.version
    } catch {
      // Not in this node_modules: the next one up.
    }
  }
  return 'unknown'
}
