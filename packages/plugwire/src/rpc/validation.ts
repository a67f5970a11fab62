// Schemas of a contract around methods: arguments where they are received, results where they come back.

import type { Kind } from '../contract.ts'
import { PluginError } from '../errors.ts'
import type { StandardSchema } from '../standard-schema.ts'
import { RemoteIterable } from './item-stream.ts'
import type { MethodTable } from './method-table.ts'

type Schemas = NonNullable<Kind['schemas']>

interface Issue {
  readonly message: string
  readonly path?: readonly unknown[] | undefined
}

const MAX_ISSUES = 20

const words = (issues: readonly Issue[]): string[] =>
  issues.slice(0, MAX_ISSUES).map(issue => {
    const path = (issue.path ?? [])
      .map(step => String(typeof step === 'object' && step !== null && 'key' in step ? step.key : step))
      .join('.')
    return path === '' ? issue.message : `${path}: ${issue.message}`
  })

/** The methods of an object of `kind`, each behind the schema for its arguments. */
export function withSchemas(methods: MethodTable, kind: string, schemas: Schemas | undefined): MethodTable {
  if (schemas === undefined) return methods
  return {
    names: methods.names,
    functions: methods.functions.map((run, index) => {
      const name = methods.names[index] as string
      const schema = schemas[name]?.args
      return schema === undefined ? run : checkingArguments(run, schema, `${kind}.${name}`)
    }),
  }
}

function checkingArguments(
  run: MethodTable['functions'][number],
  schema: StandardSchema<unknown, unknown>,
  method: string,
): MethodTable['functions'][number] {
  return function (this: unknown, ...args: unknown[]): unknown {
    const accept = (verdict: { readonly value?: unknown; readonly issues?: readonly Issue[] | undefined }): unknown => {
      if (verdict.issues !== undefined) throw new PluginError('ERR_ARGUMENTS_INVALID', { method, issues: words(verdict.issues) })
      return Reflect.apply(run, this, verdict.value as unknown[])
    }
    const verdict = schema['~standard'].validate(args)
    return verdict instanceof Promise ? verdict.then(accept) : accept(verdict)
  }
}

/** What looks at the results of a kind's methods, by name; undefined when no method has a schema for its result. */
export function resultChecks(kind: string, schemas: Schemas | undefined): ReadonlyMap<string, (value: unknown) => unknown> | undefined {
  if (schemas === undefined) return undefined
  const checks = new Map<string, (value: unknown) => unknown>()
  for (const [name, { result }] of Object.entries(schemas)) {
    if (result !== undefined) checks.set(name, value => checkResult(value, result, `${kind}.${name}`))
  }
  return checks.size > 0 ? checks : undefined
}

function checkResult(value: unknown, schema: StandardSchema<unknown, unknown>, method: string): unknown {
  if (value instanceof RemoteIterable) {
    value.check = item => checkOne(item, schema, method)
    return value
  }
  return checkOne(value, schema, method)
}

function checkOne(value: unknown, schema: StandardSchema<unknown, unknown>, method: string): unknown {
  const accept = (verdict: { readonly value?: unknown; readonly issues?: readonly Issue[] | undefined }): unknown => {
    if (verdict.issues !== undefined) throw new PluginError('ERR_RESULT_INVALID', { method, issues: words(verdict.issues) })
    return verdict.value
  }
  const verdict = schema['~standard'].validate(value)
  return verdict instanceof Promise ? verdict.then(accept) : accept(verdict)
}
