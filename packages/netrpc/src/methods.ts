// What methods a kind, a passed object or a function has, as data, and the types that follow for either side. It must not know how calls travel.

import { PluginError } from 'plugwire'
import { bodyOf, ignoredSchema } from './broker/references.ts'
import { type AnySchema, iface, type Schema } from './gob/schema.ts'
import type { WireMethod } from './rpc/body.ts'

declare const sides: unique symbol

/** Types of one method: what either side gives and gets. */
interface Sides<ArgIn, ArgOut, ReplyIn, ReplyOut> {
  /** The caller gives. */
  readonly argIn: (value: ArgIn) => void
  /** The method gets. */
  readonly argOut: ArgOut
  /** The method gives. */
  readonly replyIn: (value: ReplyIn) => void
  /** The caller gets. */
  readonly replyOut: ReplyOut
}

/** A Go method `func (t *T) Name(arg A, reply *R) error`, as `method` describes it. */
export interface Method<ArgIn, ArgOut, ReplyIn, ReplyOut> {
  /** The name in Go, where it differs from the one used here. */
  readonly name: string | undefined
  readonly arg: AnySchema
  readonly reply: AnySchema
  readonly [sides]?: Sides<ArgIn, ArgOut, ReplyIn, ReplyOut>
}

// biome-ignore lint/suspicious/noExplicitAny: stands for every method
export type AnyMethod = Method<any, any, any, any>
/** Methods by name. */
export type Methods = Readonly<Record<string, AnyMethod>>

export interface MethodOptions {
  /** The name of the method in Go. Default: the name that it has here. */
  readonly name?: string
}

/**
 * A method by the gob types of its argument and its result. Go's net/rpc has exactly one of each; `nothing` stands where there is none.
 *
 *     { Get: method(string, bytes), count: method(nothing, int, { name: 'Count' }) }
 */
export function method<ArgOut, ArgIn, ReplyOut, ReplyIn>(
  arg: Schema<ArgOut, ArgIn>,
  reply: Schema<ReplyOut, ReplyIn>,
  options: MethodOptions = {},
): Method<ArgIn, ArgOut, ReplyIn, ReplyOut> {
  return { name: options.name, arg, reply }
}

/**
 * No argument, or no result: `interface{}` in Go, where it is nil. What comes instead is passed over. A Go side that has a
 * `struct{}` there wants `struct({})`.
 */
export const nothing: Schema<undefined, undefined | void> = /* @__PURE__ */ ignoredSchema(/* @__PURE__ */ iface())

// ---- types of both sides

/** The argument may be left out when it may be undefined. */
type Arguments<A> = undefined extends A ? [arg?: A] : [arg: A]

type ClientMethod<M> =
  M extends Method<infer ArgIn, infer _A, infer _R, infer ReplyOut> ? (...args: Arguments<ArgIn>) => Promise<ReplyOut> : never
type ServerMethod<M> =
  M extends Method<infer _A, infer ArgOut, infer ReplyIn, infer _R> ? (...args: Arguments<ArgOut>) => ReplyIn | PromiseLike<ReplyIn> : never

/** What the calling side holds for these methods. Disposing it ends the stream of its calls. */
export type ClientOf<M> = { readonly [Name in keyof M]: ClientMethod<M[Name]> } & AsyncDisposable & Disposable
/** What serves these methods. */
export type ServerOf<M> = { readonly [Name in keyof M]: ServerMethod<M[Name]> }

/** What the calling side holds for an interface that the application wrote: its methods, asynchronous. */
export type ClientOfInterface<T> = {
  readonly [Name in keyof T]: T[Name] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never
} & AsyncDisposable &
  Disposable
/** What serves an interface that the application wrote: its methods, each of which may answer at once. */
export type ServerOfInterface<T> = {
  readonly [Name in keyof T]: T[Name] extends (...args: infer A) => infer R ? (...args: A) => Awaited<R> | PromiseLike<Awaited<R>> : never
}

/** The methods that fit an interface: every one of its own, each with at most one argument. */
export type MethodsFor<T> = { readonly [Name in keyof T]: MethodFor<T[Name]> }

type MethodFor<F> = F extends (...args: infer A) => infer R
  ? A extends [] | [arg?: unknown]
    ? Method<A[0], A[0], Awaited<R>, Awaited<R>>
    : 'netrpc: a method has one argument; put several into a struct'
  : 'netrpc: a kind is an interface of methods'

// ---- at run time

/** @internal The methods as calls need them. */
export function wireMethods(service: string, methods: Methods): readonly WireMethod[] {
  if (typeof methods !== 'object' || methods === null) refuse('methods are an object with a member for each method')
  return Object.entries(methods).map(([name, given]) => {
    if (typeof given !== 'object' || given === null || !('~gob' in (given.arg ?? {})) || !('~gob' in (given.reply ?? {}))) {
      refuse(`${name} is no method; write method(argument, result)`)
    }
    const inGo = given.name ?? name
    if (!/^[\p{L}_][\p{L}\p{Nd}_]*$/u.test(inGo)) refuse(`${JSON.stringify(inGo)} cannot be the name of a method in Go`)
    // net/rpc serves what is exported and nothing else.
    if (!/^\p{Lu}/u.test(inGo)) {
      const capital = inGo.replace(/^./u, letter => letter.toUpperCase())
      refuse(`in Go the name of a method begins with a capital; ${inGo} does not. Write method(argument, result, { name: '${capital}' })`)
    }
    if (name === 'then' || name === 'constructor') refuse(`'${name}' cannot be the name of a remote method`)
    return { name, serviceMethod: `${service}.${inGo}`, arg: bodyOf(given.arg), reply: bodyOf(given.reply) }
  })
}

function refuse(reason: string): never {
  throw new PluginError('ERR_CONTRACT', { reason: `netrpc: ${reason}` })
}
