// How a provider describes its resources: attributes and blocks as data, from which the types of configuration, plan and state follow.
// Knows of no bytes and of no protocol; what Terraform is told is made of it in adapter/wire-schema.ts.

import type { CtyType } from './cty/type.ts'
import type { Dynamic, Unknown } from './cty/value.ts'

declare const carries: unique symbol

// ---- types of values

/** The type of an attribute's value. `T` is what programs see. */
export interface ValueType<T = unknown> {
  readonly shape: Exclude<Shape, NestedShape>
  readonly [carries]?: T
}

/** An object, or several, whose members are attributes of their own. Protocol 5 has no such thing and sees a plain object. */
export interface NestedType<A extends Attributes = Attributes, N extends Nesting = Nesting> {
  readonly shape: NestedShape
  readonly [carries]?: { readonly attributes: A; readonly nesting: N }
}

export type Nesting = 'single' | 'list' | 'set' | 'map'

/** The same as data. */
export type Shape =
  | { readonly kind: 'string' | 'bool' | 'number' | 'integer' | 'dynamic' }
  | { readonly kind: 'list' | 'set' | 'map'; readonly element: Shape }
  | { readonly kind: 'tuple'; readonly elements: readonly Shape[] }
  | { readonly kind: 'object'; readonly members: { readonly [name: string]: Shape } }
  | NestedShape

export interface NestedShape {
  readonly kind: 'nested'
  readonly nesting: Nesting
  readonly attributes: Attributes
}

export const string: ValueType<string> = { shape: { kind: 'string' } }
export const bool: ValueType<boolean> = { shape: { kind: 'bool' } }
/** Rounded to 64 bits of floating point where the program sees it; what the program leaves alone keeps all its digits. */
export const number: ValueType<number> = { shape: { kind: 'number' } }
/** A whole number of any size. */
export const integer: ValueType<bigint> = { shape: { kind: 'integer' } }
/** A value of any type, which it brings along. */
export const dynamic: ValueType<Dynamic> = { shape: { kind: 'dynamic' } }

export function list<T>(element: ValueType<T>): ValueType<readonly T[]> {
  return { shape: { kind: 'list', element: element.shape } }
}

/** An array whose order means nothing. */
export function set<T>(element: ValueType<T>): ValueType<readonly T[]> {
  return { shape: { kind: 'set', element: element.shape } }
}

export function map<T>(element: ValueType<T>): ValueType<{ readonly [key: string]: T }> {
  return { shape: { kind: 'map', element: element.shape } }
}

export function tuple<const T extends readonly ValueType[]>(...elements: T): ValueType<{ readonly [I in keyof T]: Carried<T[I]> }> {
  return { shape: { kind: 'tuple', elements: elements.map(({ shape }) => shape) } }
}

export function object<const T extends { readonly [name: string]: ValueType }>(
  members: T,
): ValueType<{ readonly [N in keyof T]: Carried<T[N]> }> {
  return { shape: { kind: 'object', members: Object.fromEntries(Object.entries(members).map(([name, { shape }]) => [name, shape])) } }
}

/** An object whose members are attributes, so that each may be optional, computed or sensitive by itself. */
export function nested<A extends Attributes, N extends Nesting>(nesting: N, attributes: A): NestedType<A, N> {
  return { shape: { kind: 'nested', nesting, attributes } }
}

// ---- attributes

/** Who gives the value: `defaulted` and `either` may be set in the configuration and else come from the provider. */
export type Mode = 'required' | 'optional' | 'computed' | 'either' | 'defaulted'

type AttributeType = ValueType | NestedType

export interface AttributeOptions<T = never> {
  readonly description?: string
  /** Terraform does not show it. */
  readonly sensitive?: boolean
  /** Terraform warns those who set it. */
  readonly deprecated?: boolean
  /** Another value needs another object: Terraform destroys the old and creates the new one. */
  readonly replaces?: boolean
  /** Of what the provider computes: it never changes once it is there, so that an update need not make it unknown. */
  readonly stable?: boolean
  /** Says what is wrong with a value of the configuration, once it is known. A method, so that attributes of any type stand side by side. */
  check?(value: T): string | undefined
}

export interface Attribute<M extends Mode = Mode, T extends AttributeType = AttributeType> {
  readonly mode: M
  readonly type: T
  readonly options: AttributeOptions
  /** Of `defaulted`: as programs see it. */
  readonly default?: unknown
}

export interface Attributes {
  readonly [name: string]: Attribute
}

export function required<T extends AttributeType>(type: T, options: AttributeOptions<InState<T>> = {}): Attribute<'required', T> {
  return { mode: 'required', type, options }
}

export function optional<T extends AttributeType>(type: T, options: AttributeOptions<InState<T>> = {}): Attribute<'optional', T> {
  return { mode: 'optional', type, options }
}

/** What the configuration leaves out is `value`. */
export function defaulted<T extends AttributeType>(
  type: T,
  value: InState<T>,
  options: AttributeOptions<InState<T>> = {},
): Attribute<'defaulted', T> {
  return { mode: 'defaulted', type, options, default: value }
}

/** Only the provider gives it. */
export function computed<T extends AttributeType>(type: T, options: AttributeOptions<InState<T>> = {}): Attribute<'computed', T> {
  return { mode: 'computed', type, options }
}

/** The configuration may give it; else the provider does. */
export function either<T extends AttributeType>(type: T, options: AttributeOptions<InState<T>> = {}): Attribute<'either', T> {
  return { mode: 'either', type, options }
}

// ---- blocks

export interface Block<A extends Attributes = Attributes, B extends Blocks = Blocks> {
  readonly attributes: A
  readonly blocks: B
  readonly description?: string
}

export interface NestedBlock<N extends Nesting = Nesting, A extends Attributes = Attributes, B extends Blocks = Blocks>
  extends Block<A, B> {
  readonly nesting: N
  /** Of lists and sets. */
  readonly min?: number
  /** Of lists and sets; 0 is no limit. */
  readonly max?: number
}

export interface Blocks {
  readonly [name: string]: NestedBlock
}

export interface BlockOptions<A extends Attributes, B extends Blocks> {
  readonly attributes?: A
  readonly blocks?: B
  readonly description?: string
}

// biome-ignore lint/complexity/noBannedTypes: no attributes is what {} says here
type None = {}

/** A block that may stand several times in its resource: `blocks('list', { attributes: { … }, min: 1 })`. */
export function blocks<N extends Nesting, A extends Attributes = None, B extends Blocks = None>(
  nesting: N,
  { attributes, blocks, ...rest }: BlockOptions<A, B> & { readonly min?: number; readonly max?: number },
): NestedBlock<N, A, B> {
  return { ...rest, nesting, attributes: attributes ?? ({} as A), blocks: blocks ?? ({} as B) }
}

/** What a resource, a data source or a provider is configured with. */
export interface Schema<A extends Attributes = Attributes, B extends Blocks = Blocks> extends Block<A, B> {
  /** Raised when states of older versions have to be upgraded. */
  readonly version: number
}

export function schema<A extends Attributes = None, B extends Blocks = None>(
  options: BlockOptions<A, B> & { readonly version?: number },
): Schema<A, B> {
  const { attributes, blocks, version = 0, ...rest } = options
  return { ...rest, version, attributes: attributes ?? ({} as A), blocks: blocks ?? ({} as B) }
}

// ---- what programs see

/** As it was written: null where it was left out, unknown where it depends on what does not exist yet. */
export type Config<S extends Block> = Values<S, 'config'>
/** While the plan is made: what the configuration and the provider know already. */
export type Draft<S extends Block> = Values<S, 'draft'>
/** When the plan is carried out: all that the configuration gives is known. */
export type Planned<S extends Block> = Values<S, 'planned'>
/** What a data source is read with: the configuration, known and with defaults. */
export type Given<S extends Block> = Values<S, 'given'>
/** What exists. */
export type State<S extends Block> = Values<S, 'state'>

type Stage = 'config' | 'draft' | 'planned' | 'given' | 'state'

type Values<B extends Block, S extends Stage> = Flat<
  { [Name in keyof B['attributes'] as Known<Name>]: AttributeValue<B['attributes'][Name], S> } & {
    [Name in keyof B['blocks'] as Known<Name>]: BlockValue<B['blocks'][Name], S>
  }
>

/** Leaves out what stands for any name: a block whose blocks were not given is taken for one that may have any. */
type Known<Name> = string extends Name ? never : Name

type AttributeValue<A, S extends Stage> =
  A extends Attribute<infer M, infer T>
    ? {
        required: TypeValue<T, S>
        optional: TypeValue<T, S> | null
        defaulted: S extends 'config' ? TypeValue<T, S> | null : TypeValue<T, S>
        computed: S extends 'config' | 'given' ? null : S extends 'state' ? TypeValue<T, S> : TypeValue<T, 'draft'>
        either: S extends 'state' ? TypeValue<T, S> : TypeValue<T, S extends 'config' | 'given' ? S : 'draft'> | null
      }[M]
    : never

type TypeValue<T, S extends Stage> =
  T extends NestedType<infer A, infer N>
    ? Nested<N, Flat<{ [Name in keyof A]: AttributeValue<A[Name], S> }>> | MaybeUnknown<S>
    : T extends ValueType<infer V>
      ? S extends 'config' | 'draft'
        ? Unsettled<V>
        : V
      : never

type BlockValue<B, S extends Stage> =
  B extends NestedBlock<infer N, infer A, infer Inner>
    ? Nested<N, Values<Block<A, Inner>, S>> | MaybeUnknown<S> | (N extends 'single' ? null : never)
    : never

type Nested<N extends Nesting, V> = { single: V; list: readonly V[]; set: readonly V[]; map: { readonly [key: string]: V } }[N]

type MaybeUnknown<S extends Stage> = S extends 'config' | 'draft' ? Unknown : never

type InState<T> = TypeValue<T, 'state'>

type Carried<T> = T extends ValueType<infer V> ? V : never

/** A value in which anything may be unknown. */
type Unsettled<T> =
  | Unknown
  | (T extends string | boolean | number | bigint | Dynamic ? T : T extends object ? { readonly [K in keyof T]: Unsettled<T[K]> } : T)

type Flat<T> = { [K in keyof T]: T[K] }

// ---- as Terraform types

/** The type of a shape's values. */
export function typeOfShape(shape: Shape): CtyType {
  switch (shape.kind) {
    case 'string':
    case 'bool':
    case 'dynamic':
    case 'number':
      return shape.kind
    case 'integer':
      return 'number'
    case 'tuple':
      return ['tuple', shape.elements.map(typeOfShape)]
    case 'object':
      return ['object', Object.fromEntries(Object.entries(shape.members).map(([name, member]) => [name, typeOfShape(member)]))]
    case 'nested':
      return nest(shape.nesting, objectOf(shape.attributes))
    default:
      return [shape.kind, typeOfShape(shape.element)]
  }
}

/** The type of a block's value: one object with all its attributes and blocks. */
export function typeOfBlock(block: Block): CtyType {
  return objectOf(block.attributes, block.blocks)
}

function objectOf(attributes: Attributes, blocks: Blocks = {}): CtyType {
  return [
    'object',
    Object.fromEntries([
      ...Object.entries(attributes).map(([name, { type }]) => [name, typeOfShape(type.shape)] as const),
      ...Object.entries(blocks).map(([name, block]) => [name, nest(block.nesting, typeOfBlock(block))] as const),
    ]),
  ]
}

function nest(nesting: Nesting, inner: CtyType): CtyType {
  return nesting === 'single' ? inner : [nesting, inner]
}

/** The shape of a block's value: blocks and attributes alike. */
export function shapeOfBlock(block: Block): Shape {
  const members: { [name: string]: Shape } = {}
  for (const [name, { type }] of Object.entries(block.attributes)) members[name] = type.shape
  for (const [name, inner] of Object.entries(block.blocks)) members[name] = nestedShape(inner.nesting, shapeOfBlock(inner))
  return { kind: 'object', members }
}

/** A nested attribute as what it is made of. */
export function plainShape(shape: NestedShape): Shape {
  return nestedShape(shape.nesting, shapeOfBlock({ attributes: shape.attributes, blocks: {} }))
}

function nestedShape(nesting: Nesting, element: Shape): Shape {
  return nesting === 'single' ? element : { kind: nesting, element }
}
