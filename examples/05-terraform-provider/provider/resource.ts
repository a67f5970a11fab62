// What a provider is made of: plain objects with these methods. They know of no process, no protocol and no encoding.

import type { Json } from './cty/json.ts'
import type { DiagnosticOptions } from './diagnostics.ts'
import type { PrivateState } from './private-state.ts'
import type { Block, Config, Draft, Given, Planned, Schema, State } from './schema.ts'

/** Beside its values, every method gets this. */
export interface Context {
  /** Aborted when Terraform is interrupted or no longer waits for the answer. */
  readonly signal: AbortSignal
  /** Reports an error; Terraform stops after this step. What the method returns counts all the same. */
  error(summary: string, options?: DiagnosticOptions): void
  warn(summary: string, options?: DiagnosticOptions): void
}

/** Once the provider is configured. */
export interface ConfiguredContext<Client> extends Context {
  /** What the provider's `configure` returned. */
  readonly client: Client
}

export interface ResourceContext<Client> extends ConfiguredContext<Client> {
  readonly private: PrivateState
}

export interface Plan<S extends Block> {
  readonly config: Config<S>
  /** Null for a new object. */
  readonly prior: State<S> | null
  /** What follows from the schema. Give values to what is unknown and can be foreseen; what the configuration says has to stay. */
  readonly planned: { -readonly [K in keyof Draft<S>]: Draft<S>[K] }
  /** Asks for a new object instead of an update. */
  replace(...path: readonly (string | number)[]): void
}

type Async<T> = T | Promise<T>

/** Something that Terraform makes, changes and destroys. All but four methods may be left out. */
export interface Resource<S extends Schema, Client> {
  readonly schema: S
  /** Before anything else, again and again; much may be unknown. */
  validate?(config: Config<S>, context: Context): Async<void>
  plan?(plan: Plan<S>, context: ResourceContext<Client>): Async<void>
  create(planned: Planned<S>, context: ResourceContext<Client>): Async<State<S>>
  /** What exists now, or null when it is gone. */
  read(state: State<S>, context: ResourceContext<Client>): Async<State<S> | null>
  /** Left out, every change needs attributes that `replaces`. */
  update?(planned: Planned<S>, prior: State<S>, context: ResourceContext<Client>): Async<State<S>>
  delete(state: State<S>, context: ResourceContext<Client>): Async<void>
  /** Finds what exists already by the id of `terraform import`; null when it does not. */
  import?(id: string, context: ResourceContext<Client>): Async<State<S> | null>
  /** A state that an older version of the schema has written, as JSON. */
  upgrade?(state: Json, fromVersion: number, context: Context): Async<State<S>>
}

/** Something that is only read. */
export interface DataSource<S extends Schema, Client> {
  readonly schema: S
  validate?(config: Config<S>, context: Context): Async<void>
  read(config: Given<S>, context: ConfiguredContext<Client>): Async<State<S>>
}

export interface Provider<S extends Schema = Schema, Client = unknown> {
  readonly schema: S
  validate?(config: Config<S>, context: Context): Async<void>
  /** Before anything is planned or read. Parts of the configuration may be unknown during a plan. */
  configure(config: Config<S>, context: Context & { readonly terraformVersion: string }): Async<Client>
  /** By type: the name that stands in the configuration. */
  readonly resources: { readonly [type: string]: AnyResource<Client> }
  readonly dataSources: { readonly [type: string]: AnyDataSource<Client> }
}

// Methods, not function properties, so that resources of all schemas stand side by side in one table.
// biome-ignore lint/suspicious/noExplicitAny: the adapter makes the values by the very schema that stands beside the methods
export type AnyResource<Client = any> = Resource<any, Client>
// biome-ignore lint/suspicious/noExplicitAny: as above
export type AnyDataSource<Client = any> = DataSource<any, Client>
// biome-ignore lint/suspicious/noExplicitAny: as above
export type AnyProvider = Provider<any, any>
