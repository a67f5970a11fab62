// What host and plugin agree on: a name, a magic cookie, versions, and the kinds of each version. A contract is plain frozen data;
// its types live for the compiler only. It knows of no process, no wire and no protocol but the name of ours.

import { PluginError } from './errors.ts'
import type { Implementation, Remote, ShapeProblem, ValidInterface } from './remote.ts'
import type { StandardSchema } from './standard-schema.ts'

declare const types: unique symbol
declare const sides: unique symbol

// ---- kinds

/** What checks one method's values. A value may be changed by its schema (defaults, conversions); the changed one is used. */
export interface MethodSchemas {
  /** For the list of arguments, as an array. */
  readonly args?: StandardSchema<unknown, unknown>
  /** For the result; of a method that returns an async iterable, for each item. */
  readonly result?: StandardSchema<unknown, unknown>
}

/**
 * Something that can be dispensed, as data: the protocol its calls travel by, and what that protocol needs to know.
 * `T` is the interface of its instances, `Config` what `dispense` passes to the plugin's factory.
 */
export interface Kind<T = unknown, Config = unknown> {
  /** `plugwire`, or the protocol of the package that made the kind (`grpc`, `netrpc`). */
  readonly protocol: string
  /** By method. No prototype, so any name may be looked up. */
  readonly schemas?: { readonly [method: string]: MethodSchemas }
  /** How another protocol serves and calls this kind: a `KindDriver` of `plugwire/driver`; the rest of it is that protocol's own. */
  readonly driver?: unknown
  readonly [types]?: { readonly instance: T; readonly config: Config }
}

/**
 * In place of an interface in kinds of another protocol, whose two sides differ: `Client` is what `dispense` gives a host, `Server` what
 * a plugin's factory returns.
 */
export interface TwoSided<Client, Server> {
  readonly [sides]: { readonly client: Client; readonly server: Server }
}

/** What a host holds of `T`. */
type Held<T> = 0 extends 1 & T ? Remote<T> : T extends TwoSided<infer Client, any> ? Client : Remote<T>

/** What a plugin gives for `T`. */
type Served<T> = 0 extends 1 & T ? Implementation<T> : T extends TwoSided<any, infer Server> ? Server : Implementation<T>

/** The schemas that fit interface `T`, by method. */
export type SchemasOf<T> = { readonly [Method in keyof T & string]?: MethodSchemasOf<NonNullable<T[Method]>> }

type MethodSchemasOf<F> = F extends (...args: infer A) => infer R
  ? { readonly args?: StandardSchema<unknown, A>; readonly result?: StandardSchema<unknown, ItemOrValue<Awaited<R>>> }
  : MethodSchemas

type ItemOrValue<R> = [R] extends [AsyncIterable<infer Item>] ? Item : R

export interface KindOptions<T> {
  /** Schemas of some methods or of all. Types alone are not validation: the other process may send anything. */
  readonly schemas?: SchemasOf<T>
}

/**
 * A kind that speaks plugwire's own protocol.
 *
 * @typeParam T The interface of its instances: methods only, whose arguments and results can travel.
 * @typeParam Config What `dispense` passes to the factory. Left out, it is `unknown` and optional.
 * @throws PluginError `ERR_CONTRACT` when a schema is none.
 */
export function kind<T extends object & ValidInterface<T>, Config = unknown>(options: KindOptions<T> = {}): Kind<T, Config> {
  return plugwireKind(options.schemas, 'a kind') as Kind<T, Config>
}

// ---- contracts

/** Which environment variable with which value tells a plugin that a host started it. It is no secret and protects nothing. */
export interface Cookie {
  readonly key: string
  readonly value: string
}

/** The kinds of each version, as types. Version numbers are known to the compiler when they were written as keys. */
export interface Versions {
  readonly [version: number]: { readonly [kind: string]: Kind<any, any> }
}

/** One version with its kinds, at run time. */
export interface ContractVersion {
  readonly version: number
  /**
   * By name; no prototype, so any name may be looked up. Empty when `open`.
   * Use `kindOf`, which knows of `open`.
   */
  readonly kinds: { readonly [kind: string]: Kind }
  /** True when the kinds were given as types only, and so any name may be asked for. */
  readonly open: boolean
}

/** What `contract` makes, and `launch` and `serve` take. */
export interface Contract<V extends Versions = Versions> {
  readonly name: string
  readonly cookie: Cookie
  /** In ascending order, at least one. */
  readonly versions: readonly ContractVersion[]
  readonly [types]?: V
}

/** Any contract, whatever its versions and kinds. */
export type AnyContract = Contract<any>

/** The kinds that `contract<{ … }>` stands for: an interface is short for a plugwire kind of it. */
export type Kinds<K> = { readonly [Name in keyof K & string]: K[Name] extends AnyKind<K[Name]> ? K[Name] : Kind<K[Name]> }

type AnyKind<T> = 0 extends 1 & T ? never : typeof types extends keyof T ? Kind<any, any> : never

/** A contract of one version. */
export type OneVersion<K> = { readonly [version: number]: Kinds<K> }

/** What `K` fits when every member is a kind or a valid interface; else a sentence stands in place of the member that is wrong. */
export type ValidKinds<K> = {
  [Name in keyof K]: K[Name] extends AnyKind<K[Name]>
    ? ValidKind<K[Name]>
    : [ShapeProblem<K[Name]>] extends [never]
      ? ValidInterface<K[Name]>
      : ShapeProblem<K[Name]>
}

/** The same for a member that was written as a kind, to give its configuration a type. */
type ValidKind<K> =
  K extends Kind<TwoSided<any, any>, any>
    ? K
    : K extends Kind<infer T, infer Config>
      ? [ShapeProblem<T>] extends [never]
        ? Kind<ValidInterface<T>, Config>
        : ShapeProblem<T>
      : K

export interface OneVersionOptions<K> {
  /** Names the contract in messages and in the cookie. No `|`, `=` or control characters. */
  readonly name: string
  /** A whole number from 1; raise it when the interface changes so that old and new cannot work together. */
  readonly version: number
  /** Default: derived from the name. Give it to fit a go-plugin host or plugin that has its own. */
  readonly cookie?: Cookie
  /** Schemas by kind and method. */
  readonly schemas?: { readonly [Name in keyof K & string]?: SchemasOf<InterfaceOfKind<Kinds<K>[Name]>> }
  readonly versions?: undefined
}

export interface SeveralVersionsOptions<V extends Versions, Name extends string = string> {
  /** Names the contract in messages and in the cookie. No `|`, `=` or control characters. */
  readonly name: Name
  /**
   * By version number, a whole number from 1: the kinds by name. The host and the plugin agree on the highest that both have. For go-plugin's protocols
   * 0 will do, which plugins in Go have that never thought of versions.
   */
  readonly versions: V
  /** Default: derived from the name. Give it to fit a go-plugin host or plugin that has its own. */
  readonly cookie?: Cookie
  readonly version?: undefined
  readonly schemas?: undefined
}

/**
 * Makes a contract of one version: `contract<{ store: Store }>({ name: 'kv', version: 1 })`. A member that is an interface is a
 * plugwire kind of it; to give its configuration a type, write `{ store: Kind<Store, StoreConfig> }`.
 *
 * An interface that cannot work between processes is refused by the compiler, with the member and the reason in its message.
 * Without a type argument every kind may be named and has every method; that is for tools that learn at run time what there is.
 *
 * @throws PluginError `ERR_CONTRACT` when a part of it is wrong; the reason names the part.
 */
export function contract<K extends ValidKinds<K> = { readonly [kind: string]: any }>(options: OneVersionOptions<K>): Contract<OneVersion<K>>
/**
 * Makes a contract of several versions, whose interfaces may differ:
 * `contract({ name: 'kv', versions: { 1: { store: kind<StoreV1>() }, 2: { store: kind<StoreV2>() } } })`.
 *
 * @throws PluginError `ERR_CONTRACT` when a part of it is wrong; the reason names the part.
 */
// Two type parameters, so that one written type argument can only mean the other form, and the compiler explains only that.
export function contract<V extends Versions, Name extends string>(options: SeveralVersionsOptions<V, Name>): Contract<V>
export function contract(options: OneVersionOptions<any> | SeveralVersionsOptions<Versions>): Contract {
  if (typeof options !== 'object' || options === null) refuse('a contract is made of an object with name and version')
  const name = checkedName(options.name, 'name')
  if (options.version !== undefined && options.versions !== undefined) refuse('give either version or versions, not both')
  const versions = options.versions !== undefined ? severalVersions(options.versions) : [oneVersion(options as OneVersionOptions<any>)]
  return Object.freeze({ name, cookie: checkedCookie(options.cookie ?? derivedCookie(name)), versions: Object.freeze(versions) })
}

export interface OpenContractOptions {
  readonly name: string
  /** Contract versions to offer, at least one. */
  readonly versions: readonly number[]
  /** Default: derived from the name, as in `contract`. */
  readonly cookie?: Cookie
}

/**
 * A contract without types, for tools that learn at run time what a plugin has: in every version any kind may be asked for.
 *
 * @throws PluginError `ERR_CONTRACT` when a part of it is wrong.
 */
export function openContract(options: OpenContractOptions): Contract<OneVersion<{ readonly [kind: string]: any }>> {
  const name = checkedName(options.name, 'name')
  if (options.versions.length === 0) refuse('versions is empty; a contract needs at least one')
  const versions = [...new Set(options.versions)].sort((a, b) => a - b).map(version => oneVersion({ name, version }))
  return Object.freeze({ name, cookie: checkedCookie(options.cookie ?? derivedCookie(name)), versions: Object.freeze(versions) })
}

function oneVersion(options: OneVersionOptions<any>): ContractVersion {
  const version = checkedVersion(options.version, 'version')
  const kinds: Record<string, Kind> = Object.create(null)
  const schemas = options.schemas ?? {}
  if (typeof schemas !== 'object') refuse('schemas is an object with a member for each kind')
  for (const [name, ofKind] of Object.entries(schemas)) kinds[checkedName(name, 'schemas')] = plugwireKind(ofKind, `schemas.${name}`)
  return Object.freeze({ version, kinds: Object.freeze(kinds), open: true })
}

function severalVersions(versions: Versions): ContractVersion[] {
  if (typeof versions !== 'object' || versions === null) refuse('versions is an object with a member for each version')
  const entries = Object.entries(versions)
  if (entries.length === 0) refuse('versions is empty; a contract needs at least one')
  return entries
    .map(([key, given]) => {
      const where = `versions: ${JSON.stringify(key)}`
      // Plugins of go-plugin that never thought of versions have 0.
      const version = key === '0' ? 0 : checkedVersion(/^[1-9][0-9]*$/.test(key) ? Number(key) : key, where)
      if (typeof given !== 'object' || given === null) refuse(`versions[${key}] is an object with a member for each kind`)
      const kinds: Record<string, Kind> = Object.create(null)
      for (const [name, value] of Object.entries(given) as [string, Kind | null | undefined][]) {
        checkedName(name, `versions[${key}]`)
        if (typeof value !== 'object' || value === null || typeof value.protocol !== 'string' || value.protocol === '') {
          refuse(`versions[${key}].${name} is no kind; write kind<Interface>()`)
        }
        kinds[name] = value
      }
      const made = Object.freeze({ version, kinds: Object.freeze(kinds), open: false })
      const protocols = protocolsOf(made)
      if (protocols.length === 0) refuse(`versions[${key}] has no kinds; a version needs at least one`)
      if (protocols.length > 1) refuse(`versions[${key}] has kinds of ${protocols.join(' and ')}; give each protocol a version of its own`)
      if (version === 0 && protocols[0] === 'plugwire') checkedVersion(0, where)
      return made
    })
    .sort((a, b) => a.version - b.version)
}

function plugwireKind(schemas: object | undefined, where: string): Kind {
  if (schemas === undefined) return plain
  if (typeof schemas !== 'object' || schemas === null) refuse(`${where}: schemas is an object with a member for each method`)
  const byMethod: Record<string, MethodSchemas> = Object.create(null)
  for (const [method, given] of Object.entries(schemas) as [string, MethodSchemas | undefined][]) {
    if (given === undefined) continue
    if (typeof given !== 'object' || given === null) refuse(`${where}: the schemas of ${method} are an object with args or result`)
    for (const part of ['args', 'result'] as const) {
      const schema = given[part]
      if (schema !== undefined && typeof schema?.['~standard']?.validate !== 'function') {
        refuse(`${where}: the schema for ${method}.${part} does not implement Standard Schema (it has no ~standard.validate)`)
      }
    }
    byMethod[method] = Object.freeze({ ...given })
  }
  return Object.freeze({ protocol: 'plugwire', schemas: Object.freeze(byMethod) })
}

const plain: Kind = /* @__PURE__ */ Object.freeze({ protocol: 'plugwire' })

/** The kind of that name in that version; `undefined` when the contract has none. */
export function kindOf(contract: Contract, version: number, name: string): Kind | undefined {
  const found = contract.versions.find(candidate => candidate.version === version)
  return found === undefined ? undefined : (found.kinds[name] ?? (found.open ? plain : undefined))
}

/** The protocols that the kinds of one version travel by, each once. */
export function protocolsOf(version: ContractVersion): readonly string[] {
  const protocols = new Set(Object.values(version.kinds).map(kind => kind.protocol))
  if (version.open) protocols.add('plugwire')
  return [...protocols]
}

// ---- checks

function refuse(reason: string): never {
  throw new PluginError('ERR_CONTRACT', { reason: `contract: ${reason}` })
}

// '|' separates the fields of a handshake line, '=' and control characters cannot stand in the name of an environment variable.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const badInName = /[|=\x00-\x1f\x7f]/

function checkedName(name: unknown, where: string): string {
  if (typeof name !== 'string' || name.trim() === '') refuse(`${where} is empty or no string; give it a name`)
  if (badInName.test(name)) refuse(`${where} ${JSON.stringify(name)} contains '|', '=' or a control character`)
  return name
}

function checkedVersion(version: unknown, where: string): number {
  if (!Number.isSafeInteger(version) || (version as number) < 1) {
    refuse(`${where} is ${typeof version === 'string' ? JSON.stringify(version) : String(version)}; a version is a whole number from 1`)
  }
  return version as number
}

function checkedCookie(cookie: Cookie): Cookie {
  if (typeof cookie !== 'object' || cookie === null) refuse('cookie is an object with key and value')
  const { key, value } = cookie
  if (typeof key !== 'string' || key === '') refuse('cookie.key is empty or no string; it names an environment variable')
  if (badInName.test(key)) refuse(`cookie.key ${JSON.stringify(key)} contains '|', '=' or a control character`)
  if (typeof value !== 'string' || value === '') refuse('cookie.value is empty or no string')
  if (value.includes('\0')) refuse('cookie.value contains a NUL character, which the environment cannot carry')
  return Object.freeze({ key, value })
}

/** The cookie of a contract that gives none: the same for the same name in every process and every release of plugwire. */
export function derivedCookie(name: string): Cookie {
  return { key: `PLUGWIRE_${name.toUpperCase().replace(/[^A-Z0-9]+/g, '_')}`, value: fnv1a(name) }
}

// FNV-1a, 32 bits, over UTF-16 code units, as 8 hex digits: a stable mark that costs no import of node:crypto. Never a secret.
function fnv1a(text: string): string {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  return (hash >>> 0).toString(16).padStart(8, '0')
}

// ---- the types of a contract

/** Version by version the kinds of contract `C`. */
export type VersionsOf<C> = C extends Contract<infer V> ? V : never

/** The version numbers of contract `C`: literals where they were written as keys, else `number`. */
export type ContractVersions<C> = keyof VersionsOf<C> & number

/** The kinds of version `V`, by name. */
export type KindsOf<C, V extends ContractVersions<C> = ContractVersions<C>> = VersionsOf<C>[V]

/** The names of the kinds of version `V`. */
export type KindNames<C, V extends ContractVersions<C> = ContractVersions<C>> = keyof KindsOf<C, V> & string

type InterfaceOfKind<K> = K extends Kind<infer T, any> ? T : never
type ConfigOfKind<K> = K extends Kind<any, infer Config> ? Config : never

/** The interface of kind `K` in version `V`. */
export type InterfaceOf<C, K extends KindNames<C, V>, V extends ContractVersions<C> = ContractVersions<C>> = InterfaceOfKind<
  KindsOf<C, V>[K]
>

/** What `dispense` of kind `K` passes to the plugin's factory. */
export type ConfigOf<C, K extends KindNames<C, V>, V extends ContractVersions<C> = ContractVersions<C>> = ConfigOfKind<KindsOf<C, V>[K]>

/** What `dispense` of kind `K` gives the host. */
export type RemoteOf<C, K extends KindNames<C, V>, V extends ContractVersions<C> = ContractVersions<C>> = Held<InterfaceOf<C, K, V>>

/** The arguments of `dispense` after the kind: the configuration, which may be left out when its type admits `undefined`. */
export type ConfigArguments<Config> = undefined extends Config ? [config?: Config] : [config: Config]

/** Asks for one instance of a kind of version `V`. */
export type Dispense<C, V extends ContractVersions<C> = ContractVersions<C>> = <K extends KindNames<C, V>>(
  kind: K,
  ...config: ConfigArguments<ConfigOf<C, K, V>>
) => Promise<Held<InterfaceOf<C, K, V>>>

/** The part of a launched plugin that depends on the version agreed on: `if (plugin.version === 2) plugin.dispense('admin')`. */
export type Dispenser<C> = {
  [V in ContractVersions<C>]: { readonly version: V; readonly dispense: Dispense<C, V> }
}[ContractVersions<C>]

/** Makes one instance. It may be asynchronous, and what it throws reaches the host's `dispense`. */
export type Factory<T, Config = unknown, Context = unknown> = (config: Config, context: Context) => Served<T> | PromiseLike<Served<T>>

/** The factories of every kind of version `V`. */
export type VersionFactories<C, V extends ContractVersions<C>, Context = unknown> = {
  readonly [K in KindNames<C, V>]: Factory<InterfaceOf<C, K, V>, ConfigOf<C, K, V>, Context>
}

/** What `serve` takes: the factories by kind; of a contract made with `versions`, by version and kind. */
export type Factories<C, Context = unknown> =
  number extends ContractVersions<C>
    ? VersionFactories<C, ContractVersions<C>, Context>
    : { readonly [V in ContractVersions<C>]: VersionFactories<C, V, Context> }

/** A factory, with its types forgotten. */
export type AnyFactory<Context = unknown> = (config: unknown, context: Context) => unknown

/**
 * The factories of `serve` in one form, checked against the contract: by version, then by kind.
 *
 * @throws PluginError `ERR_CONTRACT` when one is missing, is no function, or has no place in the contract.
 */
export function factoriesByVersion<Context>(
  contract: Contract,
  factories: object,
): ReadonlyMap<number, ReadonlyMap<string, AnyFactory<Context>>> {
  const result = new Map<number, ReadonlyMap<string, AnyFactory<Context>>>()
  const only = contract.versions.length === 1 && contract.versions[0]!.open ? contract.versions[0] : undefined
  if (only !== undefined) return result.set(only.version, checkedFactories(only, factories, 'the factories'))
  for (const key of Object.keys(factories)) {
    if (!contract.versions.some(version => String(version.version) === key))
      refuse(`there are factories for version ${key}, which the contract has not`)
  }
  for (const version of contract.versions) {
    const given = (factories as { [version: number]: unknown })[version.version]
    if (given === undefined) refuse(`there are no factories for version ${version.version}`)
    result.set(version.version, checkedFactories(version, given, `the factories for version ${version.version}`))
  }
  return result
}

function checkedFactories<Context>(version: ContractVersion, given: unknown, where: string): ReadonlyMap<string, AnyFactory<Context>> {
  if (typeof given !== 'object' || given === null) refuse(`${where} are an object with a function for each kind`)
  const factories = new Map<string, AnyFactory<Context>>()
  for (const [name, factory] of Object.entries(given)) {
    checkedName(name, `a kind in ${where}`)
    if (!version.open && version.kinds[name] === undefined) refuse(`${where} name ${JSON.stringify(name)}, which the contract has not`)
    if (typeof factory !== 'function') refuse(`${where}: ${name} is no function`)
    factories.set(name, factory)
  }
  for (const name of Object.keys(version.kinds)) {
    if (!factories.has(name)) refuse(`${where} have none for kind ${JSON.stringify(name)}`)
  }
  if (factories.size === 0) refuse(`${where} are empty; a plugin serves at least one kind`)
  return factories
}
