// The part of the Standard Schema interface (version 1, standardschema.dev) that plugwire calls, as types; so that zod, valibot,
// arktype and every other library that implements it fits, and none of them is needed. It must not know what a method is.

/** Anything that can check a value: it has its verdict under the name `~standard`. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    /** Which revision of Standard Schema this is; only 1 exists. */
    readonly version: 1
    /** The library that made the schema, e.g. `zod`. */
    readonly vendor: string
    /** Says whether the value fits, at once or later. It reports misfits in its answer and throws only when it is broken itself. */
    readonly validate: (value: unknown) => SchemaVerdict<Output> | Promise<SchemaVerdict<Output>>
    /** Carries the two types for the compiler; absent at run time. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** What `validate` answers: the value, possibly changed by the schema (defaults, conversions), or what is wrong with it. */
export type SchemaVerdict<Output> = { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] }

export interface SchemaIssue {
  readonly message: string
  /** Where in the value; a step is a key, or an object that holds the key. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}
