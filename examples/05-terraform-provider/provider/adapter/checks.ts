// Holds a configuration against what its schema says of single attributes.

import { CtyError, type CtyPath } from '../cty/type.ts'
import { type CtyRecord, type CtyValue, isKnown, isRecord } from '../cty/value.ts'
import type { Diagnostics } from '../diagnostics.ts'
import type { Attributes, Block, Nesting } from '../schema.ts'
import { toProgram } from '../view.ts'

/** Reports every attribute whose value is known and wrong. */
export function checkBlock(block: Block, config: CtyRecord, report: Diagnostics, at: CtyPath = []): void {
  checkAttributes(block.attributes, config, report, at)
  for (const [name, inner] of Object.entries(block.blocks)) {
    each(inner.nesting, config[name] ?? null, [...at, name], (value, path) => checkBlock(inner, value, report, path))
  }
}

function checkAttributes(attributes: Attributes, config: CtyRecord, report: Diagnostics, at: CtyPath): void {
  for (const [name, { type, options }] of Object.entries(attributes)) {
    const value = config[name] ?? null
    const path = [...at, name]
    if (value === null) continue
    try {
      const seen = toProgram(type.shape, value, path)
      const problem = isKnown(value) ? options.check?.(seen as never) : undefined
      if (problem !== undefined) report.error('Invalid value', { detail: problem, path })
    } catch (error) {
      if (!(error instanceof CtyError)) throw error
      report.error('Invalid value', { detail: error.message, path: error.path })
    }
    const { shape } = type
    if (shape.kind === 'nested')
      each(shape.nesting, value, path, (inner, innerPath) => checkAttributes(shape.attributes, inner, report, innerPath))
  }
}

function each(nesting: Nesting, value: CtyValue, path: CtyPath, visit: (value: CtyRecord, path: CtyPath) => void): void {
  const members: readonly (readonly [CtyPath, CtyValue])[] =
    nesting === 'single'
      ? [[path, value]]
      : Array.isArray(value)
        ? (value as readonly CtyValue[]).map((inner, i) => [[...path, i], inner] as const)
        : isRecord(value)
          ? Object.entries(value).map(([key, inner]) => [[...path, key], inner] as const)
          : []
  for (const [where, inner] of members) if (isRecord(inner)) visit(inner, where)
}
