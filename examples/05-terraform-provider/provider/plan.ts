// The rules of a plan that are the same for every resource. Values as they travel in and out; calls no resource.
//
//  - What the configuration says stands in the plan as it is.
//  - What it leaves out and only the provider knows is unknown while the object does not exist, and in an update unless it is stable.
//  - An update in which nothing changes is the state as it was.
//  - An attribute that `replaces` and has another value is named, and Terraform plans again for a new object.
// Source: Terraform's resource instance change lifecycle, docs/resource-instance-change-lifecycle.md.

import type { CtyPath } from './cty/type.ts'
import { type CtyRecord, type CtyValue, isRecord, record, same, Unknown, unknown } from './cty/value.ts'
import { type Attribute, type Attributes, type Block, type Blocks, type Nesting, typeOfBlock, typeOfShape } from './schema.ts'
import { fromProgram } from './view.ts'

export interface Proposal {
  readonly config: CtyRecord
  /** Null for a new object. */
  readonly prior: CtyRecord | null
  /** The configuration with what the state knows for what it leaves out, as Terraform has put it together. */
  readonly proposed: CtyRecord
}

/** The plan, as far as it follows from the schema. */
export function planned(block: Block, { config, prior, proposed }: Proposal): CtyRecord {
  const complete = withDefaults(block, config, proposed)
  if (prior !== null && same(complete, prior, typeOfBlock(block))) return prior
  return fill(block, config, complete, (attribute, value) =>
    attribute.mode === 'defaulted' || (prior !== null && attribute.options.stable && value !== null) ? value : unknown,
  )
}

/** `value` with defaults for what the configuration leaves out. */
export function withDefaults(block: Block, config: CtyRecord, value: CtyRecord): CtyRecord {
  return fill(block, config, value, (attribute, now) =>
    attribute.mode === 'defaulted' ? fromProgram(attribute.type.shape, attribute.default) : now,
  )
}

/** Puts values where the configuration has none and the provider may give one. */
type Filling = (attribute: Attribute, value: CtyValue) => CtyValue

function fill(block: Block, config: CtyRecord | undefined, value: CtyRecord, filling: Filling): CtyRecord {
  const result: { [name: string]: CtyValue } = fillAttributes(block.attributes, config, value, filling)
  for (const [name, inner] of Object.entries(block.blocks)) {
    result[name] = each(inner.nesting, config?.[name], value[name] ?? null, (c, v) => fill(inner, c, v, filling))
  }
  return result
}

function fillAttributes(
  attributes: Attributes,
  config: CtyRecord | undefined,
  value: CtyRecord,
  filling: Filling,
): { [name: string]: CtyValue } {
  const result = record<CtyValue>()
  for (const [name, attribute] of Object.entries(attributes)) {
    const now = value[name] ?? null
    // Which element of a set stands for which of the configuration cannot be said; there, what has a value keeps it.
    const configured = config === undefined ? now !== null : (config[name] ?? null) !== null
    const { shape } = attribute.type
    if (!configured && attribute.mode !== 'required' && attribute.mode !== 'optional') result[name] = filling(attribute, now)
    else if (shape.kind !== 'nested') result[name] = now
    else result[name] = each(shape.nesting, config?.[name], now, (c, v) => fillAttributes(shape.attributes, c, v, filling))
  }
  return result
}

/** Applies `change` to every object that is nested in a value, with its part of the configuration where there is one. */
function each(
  nesting: Nesting,
  config: CtyValue | undefined,
  value: CtyValue,
  change: (config: CtyRecord | undefined, value: CtyRecord) => CtyValue,
): CtyValue {
  const one = (c: CtyValue | undefined, v: CtyValue) => (isRecord(v) ? change(isRecord(c) ? c : undefined, v) : v)
  if (value === null || value instanceof Unknown) return value
  if (nesting === 'single') return one(config, value)
  if (nesting === 'map')
    return isRecord(value)
      ? record(Object.entries(value).map(([key, v]) => [key, one(isRecord(config) ? config[key] : undefined, v)]))
      : value
  if (!Array.isArray(value)) return value
  return (value as readonly CtyValue[]).map((v, i) => one(nesting === 'list' && Array.isArray(config) ? config[i] : undefined, v))
}

/** The paths of all attributes that have another value than before and need another object for it. */
export function replacements(block: Block, prior: CtyRecord, plan: CtyRecord): CtyPath[] {
  const found: CtyPath[] = []
  compare(block.attributes, block.blocks, prior, plan, [], found)
  return found
}

function compare(attributes: Attributes, blocks: Blocks, prior: CtyRecord, plan: CtyRecord, at: CtyPath, found: CtyPath[]): void {
  for (const [name, attribute] of Object.entries(attributes)) {
    const [before, after] = [prior[name] ?? null, plan[name] ?? null]
    const { shape } = attribute.type
    if (attribute.options.replaces && !same(before, after, typeOfShape(shape))) found.push([...at, name])
    else if (shape.kind === 'nested') {
      pairs(shape.nesting, before, after, (b, a, key) => compare(shape.attributes, {}, b, a, [...at, name, ...key], found))
    }
  }
  for (const [name, inner] of Object.entries(blocks)) {
    pairs(inner.nesting, prior[name] ?? null, plan[name] ?? null, (b, a, key) =>
      compare(inner.attributes, inner.blocks, b, a, [...at, name, ...key], found),
    )
  }
}

/** Objects that are nested in two values at the same place. Elements of sets have none. */
function pairs(
  nesting: Nesting,
  before: CtyValue,
  after: CtyValue,
  visit: (before: CtyRecord, after: CtyRecord, key: CtyPath) => void,
): void {
  if (nesting === 'single') {
    if (isRecord(before) && isRecord(after)) visit(before, after, [])
  } else if (nesting === 'map') {
    if (!isRecord(before) || !isRecord(after)) return
    for (const key of Object.keys(after)) pairs('single', before[key] ?? null, after[key] ?? null, (b, a) => visit(b, a, [key]))
  } else if (nesting === 'list' && Array.isArray(before) && Array.isArray(after)) {
    for (const i of after.keys()) pairs('single', before[i] ?? null, after[i], (b, a) => visit(b, a, [i]))
  }
}
