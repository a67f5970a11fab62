// The types of Terraform's values, in the form they have as JSON on the wire: a type is its own encoding. Knows of no values.
// Source: zclconf/go-cty, cty/json/type.go.

/** `"string"`, `["list", "string"]`, `["object", { "name": "string" }]`, … `dynamic` means that each value brings its type along. */
export type CtyType =
  | 'string'
  | 'number'
  | 'bool'
  | 'dynamic'
  | readonly ['list' | 'set' | 'map', CtyType]
  | readonly ['tuple', readonly CtyType[]]
  | readonly ['object', { readonly [attribute: string]: CtyType }]

/** Types within types within types; real ones have fewer than ten. */
const MAX_DEPTH = 64

/**
 * Reads a type, as it comes with a dynamic value.
 *
 * @throws CtyError when it is none.
 */
export function parseType(json: string): CtyType {
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch (cause) {
    throw new CtyError('a type that is no JSON', [], { cause })
  }
  return checkedType(parsed, 0)
}

function checkedType(json: unknown, depth: number): CtyType {
  if (depth > MAX_DEPTH) throw new CtyError(`a type deeper than ${MAX_DEPTH}`)
  if (json === 'string' || json === 'number' || json === 'bool' || json === 'dynamic') return json
  if (Array.isArray(json)) {
    // An object type may name its optional attributes in a third place, which says nothing about values.
    const [kind, inner] = json as [unknown, unknown]
    if (kind === 'list' || kind === 'set' || kind === 'map') return [kind, checkedType(inner, depth + 1)]
    if (kind === 'tuple' && Array.isArray(inner)) return [kind, inner.map(element => checkedType(element, depth + 1))]
    if (kind === 'object' && typeof inner === 'object' && inner !== null) {
      const attributes: { [name: string]: CtyType } = Object.create(null)
      for (const [name, type] of Object.entries(inner)) attributes[name] = checkedType(type, depth + 1)
      return [kind, attributes]
    }
  }
  throw new CtyError(`an unknown type ${String(JSON.stringify(json)).slice(0, 100)}`)
}

/** Where a value stands in a larger one: names of attributes and keys of maps, numbers for elements. */
export type CtyPath = readonly (string | number)[]

/** A value does not fit its type, or bytes are no value. */
export class CtyError extends Error {
  readonly path: CtyPath

  constructor(problem: string, path: CtyPath = [], options?: ErrorOptions) {
    super(path.length === 0 ? problem : `${path.join('.')}: ${problem}`, options)
    this.path = path
  }

  static {
    Object.defineProperty(CtyError.prototype, 'name', { value: 'CtyError' })
  }
}
