// What becomes of a type when its values live in another process: `Remote<T>` on the holding side, `Implementation<T>` on the
// serving side, and the checks that refuse an interface that could not work. Types only; nothing here exists at run time.

import type { MarkedByRef } from './by-ref.ts'

// ---- words

/** How deep the types look into a value; deeper levels, and so the rest of a recursive type, are taken on trust. */
type Levels = 5
type Deeper = [never, 0, 1, 2, 3, 4]

/** Any function; `never` makes every parameter list fit. */
type Callable = (...args: never) => unknown

type IsAny<T> = 0 extends 1 & T ? true : false

/** The instance type of a class that exists globally in some programs only (DOM or @types/node decide), else `never`. */
type Global<Name extends string> = typeof globalThis extends { readonly [N in Name]: { prototype: infer T } } ? T : never

/** A Node stream by its shape, so that these types need no @types/node. */
interface NodeReadable {
  readonly readable: boolean
  read: Callable
  pipe: Callable
  on: Callable
}
interface NodeWritable {
  readonly writable: boolean
  write: Callable
  end: Callable
  on: Callable
}

type Primitive = string | number | bigint | boolean | null | undefined | void

/** Arrives as what it was: copied values, and things that have a reference form of their own. */
type Whole =
  | Primitive
  | Date
  | RegExp
  | Error
  | ArrayBuffer
  | ArrayBufferView
  | Global<'URL'>
  | Global<'AbortSignal'>
  | Global<'ReadableStream'>
  | Global<'WritableStream'>
  | NodeReadable
  | NodeWritable

/** Goes by reference without a mark. */
type Disposes = { [Symbol.asyncDispose]: Callable } | { [Symbol.dispose]: Callable }

// ---- what arrives

/**
 * The type of a value of type `T` after it came from the other process: data stays what it is, functions become asynchronous,
 * disposable and `byRef` objects become `Remote`. Where nothing changes it is `T` itself, so that it reads as you wrote it.
 */
export type RemoteValue<T> = [Changes<T>] extends [never] ? T : Arrived<T>

/**
 * `true` when something in a value of type `T` becomes something else on its way, else `never`.
 * It looks for the things themselves: to compare `T` with what arrives would turn in circles where `T` contains itself.
 */
type Changes<T, Level = Levels> = unknown extends T
  ? never
  : [Level] extends [never]
    ? never
    : T extends Whole
      ? never
      : T extends MarkedByRef<unknown> | Callable
        ? true
        : T extends AsyncIterable<infer Item>
          ? [AsyncIterable<Item>] extends [T]
            ? Changes<Item, Deeper[Level & number]>
            : true
          : T extends ReadonlyMap<infer Key, infer Value>
            ? Changes<Key, Deeper[Level & number]> | Changes<Value, Deeper[Level & number]>
            : T extends ReadonlySet<infer Item> | readonly (infer Item)[]
              ? Changes<Item, Deeper[Level & number]>
              : T extends Disposes
                ? AsyncDisposable extends T
                  ? never
                  : true
                : T extends object
                  ? { [Key in keyof T]-?: Changes<T[Key], Deeper[Level & number]> }[keyof T]
                  : never

type Arrived<T> = unknown extends T
  ? T
  : T extends Whole
    ? T
    : T extends MarkedByRef<infer Target>
      ? Remote<Target>
      : T extends AsyncIterable<infer Item>
        ? AsyncIterable<RemoteValue<Item>>
        : T extends Callable
          ? RemoteFunction<T>
          : T extends Map<infer Key, infer Value>
            ? Map<RemoteValue<Key>, RemoteValue<Value>>
            : T extends ReadonlyMap<infer Key, infer Value>
              ? ReadonlyMap<RemoteValue<Key>, RemoteValue<Value>>
              : T extends Set<infer Item>
                ? Set<RemoteValue<Item>>
                : T extends ReadonlySet<infer Item>
                  ? ReadonlySet<RemoteValue<Item>>
                  : T extends readonly (infer Item)[]
                    ? ArrivedArray<T, Item>
                    : T extends Disposes
                      ? ArrivedHandle<T>
                      : T extends object
                        ? { [Key in keyof T]: RemoteValue<T[Key]> }
                        : T

// Where there is nothing to call, `Remote` would only be a longer word for it.
type ArrivedHandle<T> = [keyof T & string] extends [never] ? AsyncDisposable : Remote<T>

// Written as `Item[]`, and not as a mapped type, an array is not looked into before it is needed; so a type may contain itself.
type ArrivedArray<T, Item> = Item[] extends T
  ? readonly Item[] extends T
    ? readonly RemoteValue<Item>[]
    : RemoteValue<Item>[]
  : { [Index in keyof T]: RemoteValue<T[Index]> }

/** A list of arguments after it came from the other process. */
type ArrivedList<A extends readonly unknown[]> = { [Index in keyof A]: RemoteValue<A[Index]> }

/** A function that was sent: it is called where it came from, and its reference is given back by disposing it. */
export type RemoteFunction<F extends Callable> = Called<F> & AsyncDisposable

type Called<F> = F extends (...args: infer A) => infer R ? (...args: SentList<A>) => RemoteResult<R> : never

/**
 * What a call gives at once: a promise, or, when the method returns an async iterable, the iterable itself
 * (the call is made when it is first read; `await` gives the same iterable).
 */
export type RemoteResult<R> =
  IsAny<R> extends true
    ? Promise<any>
    : [R] extends [Whole]
      ? Promise<RemoteValue<R>>
      : [R] extends [AsyncIterable<infer Item>]
        ? AsyncIterable<RemoteValue<Item>>
        : Promise<RemoteValue<Awaited<R>>>

/**
 * A method as its holder calls it. A method that is asynchronous already keeps its own type, type parameters and overloads
 * included; of one that has to change, the last overload counts and type parameters become their constraints.
 */
export type RemoteMethod<F> =
  IsAny<F> extends true
    ? (...args: any[]) => Promise<any>
    : F extends (...args: infer A) => infer R
      ? [SignatureChanges<A, R>] extends [never]
        ? F
        : Called<F>
      : F

type SignatureChanges<A extends readonly unknown[], R> = ResultChanges<R> | ListSentChanges<A>

type ResultChanges<R> =
  IsAny<R> extends true
    ? true
    : [R] extends [Whole]
      ? true
      : [R] extends [AsyncIterable<infer Item>]
        ? [AsyncIterable<Item>] extends [R]
          ? Changes<Item>
          : true
        : [R] extends [Promise<infer Value>]
          ? Changes<Value>
          : true

/** Members that a holder can name: symbols do not travel, and what is no method cannot be read from afar. */
type RemoteName<T, Name extends keyof T> = Name extends string ? (NonNullable<T[Name]> extends Callable ? Name : never) : never

/** `true` when a member of `T` is something else, or nothing, at a distance; else `never`. */
type MemberChanges<T> = {
  [Name in keyof T]-?: Name extends string ? MethodChanges<NonNullable<T[Name]>> : Name extends typeof Symbol.asyncDispose ? never : true
}[keyof T]

type MethodChanges<F> = IsAny<F> extends true ? true : F extends (...args: infer A) => infer R ? SignatureChanges<A, R> : true

// An interface that is asynchronous throughout is taken as it is, so that an editor shows its own methods with their documentation.
type RemoteMethods<T> = [MemberChanges<T>] extends [never] ? T : { [Name in keyof T as RemoteName<T, Name>]: RemoteMethod<T[Name]> }

/**
 * What you hold when the object itself lives in another process: every method of `T`, asynchronous.
 * Disposing it releases the object at the other side; `await using` does that at the end of a block.
 */
export type Remote<T> = RemoteMethods<T> & AsyncDisposable

// ---- what may be given

/**
 * What may be given where the other side expects a `T`: functions and methods may answer at once or with a promise,
 * and in place of an object that goes by reference its `Remote` may be handed back.
 */
export type Sent<T> = [SentChanges<T>] extends [never] ? T : Given<T>

/** `true` when something else than a `T` may be given for a `T`, else `never`. */
type SentChanges<T, Level = Levels> = unknown extends T
  ? never
  : [Level] extends [never]
    ? never
    : T extends Whole
      ? never
      : T extends MarkedByRef<unknown> | Disposes
        ? true
        : T extends Callable
          ? FunctionSentChanges<T, Deeper[Level & number]>
          : T extends AsyncIterable<infer Item>
            ? [AsyncIterable<Item>] extends [T]
              ? SentChanges<Item, Deeper[Level & number]>
              : true
            : T extends ReadonlyMap<infer Key, infer Value>
              ? SentChanges<Key, Deeper[Level & number]> | SentChanges<Value, Deeper[Level & number]>
              : T extends ReadonlySet<infer Item> | readonly (infer Item)[]
                ? SentChanges<Item, Deeper[Level & number]>
                : T extends object
                  ? { [Key in keyof T]-?: SentChanges<T[Key], Deeper[Level & number]> }[keyof T]
                  : never

type ListSentChanges<A extends readonly unknown[]> = { [Index in keyof A]-?: SentChanges<A[Index]> }[number]

type FunctionSentChanges<F, Level> = F extends (...args: infer A) => infer R
  ? { [Index in keyof A]-?: Changes<A[Index], Level> }[number] | (IsVoid<R> extends true ? never : unknown extends R ? never : true)
  : never

type IsVoid<R> = [R, void] extends [void, R] ? true : false

type Given<T> = unknown extends T
  ? T
  : T extends Whole
    ? T
    : T extends MarkedByRef<infer Target>
      ? (Implementation<Target> & MarkedByRef<Implementation<Target>>) | Remote<Target>
      : T extends AsyncIterable<infer Item>
        ? AsyncIterable<Sent<Item>>
        : T extends Callable
          ? SentFunction<T>
          : T extends Map<infer Key, infer Value>
            ? Map<Sent<Key>, Sent<Value>>
            : T extends ReadonlyMap<infer Key, infer Value>
              ? ReadonlyMap<Sent<Key>, Sent<Value>>
              : T extends Set<infer Item>
                ? Set<Sent<Item>>
                : T extends ReadonlySet<infer Item>
                  ? ReadonlySet<Sent<Item>>
                  : T extends readonly (infer Item)[]
                    ? GivenArray<T, Item>
                    : T extends Disposes
                      ? Implementation<T> & (Disposable | AsyncDisposable)
                      : T extends object
                        ? { [Key in keyof T]: Sent<T[Key]> }
                        : T

type GivenArray<T, Item> = Item[] extends T
  ? readonly Item[] extends T
    ? readonly Sent<Item>[]
    : Sent<Item>[]
  : { [Index in keyof T]: Sent<T[Index]> }

type SentList<A extends readonly unknown[]> = { [Index in keyof A]: Sent<A[Index]> }

type SentFunction<F> = F extends (...args: infer A) => infer R ? (...args: ArrivedList<A>) => SentResult<R> : never

// `void` alone accepts every function, also an asynchronous one; in a union it would accept `undefined` only.
type SentResult<R> = IsAny<R> extends true ? any : IsVoid<R> extends true ? void : Sent<Awaited<R>> | PromiseLike<Sent<Awaited<R>>>

/**
 * What serves calls for `T`: an object with its methods, each of which may answer at once or with a promise, and may be an async
 * generator where `T` says async iterable. Callbacks among the arguments are remote, so they are asynchronous here.
 */
export type Implementation<T> = {
  [Name in keyof T as RemoteName<T, Name>]: IsAny<T[Name]> extends true
    ? (...args: any[]) => any
    : T[Name] extends infer F
      ? F extends Callable
        ? SentFunction<F>
        : F
      : never
}

// ---- what is refused

/**
 * Why a value of type `T` cannot travel: the end of a sentence that begins with its name, e.g. `.key is a symbol`; `never` when it
 * can. `any` and `unknown` can. The sentence grows from the inside out, so that one type is looked at once.
 */
export type TravelProblem<T, Level = Levels> = unknown extends T
  ? never
  : [Level] extends [never]
    ? never
    : T extends Whole
      ? never
      : T extends symbol
        ? ' is a symbol'
        : T extends MarkedByRef<unknown>
          ? never
          : T extends AsyncIterable<infer Item>
            ? Within<'[]', TravelProblem<Item, Deeper[Level & number]>>
            : T extends PromiseLike<unknown>
              ? ' is a promise; await it first'
              : T extends abstract new (
                    ...args: never
                  ) => unknown
                ? ' is a class'
                : T extends Callable
                  ? FunctionProblem<T, Deeper[Level & number]>
                  : T extends ReadonlyMap<infer Key, infer Value>
                    ?
                        | Within<'.key', TravelProblem<Key, Deeper[Level & number]>>
                        | Within<'.value', TravelProblem<Value, Deeper[Level & number]>>
                    : T extends ReadonlySet<infer Item>
                      ? Within<'[]', TravelProblem<Item, Deeper[Level & number]>>
                      : T extends readonly (infer Item)[]
                        ? Within<'[]', TravelProblem<Item, Deeper[Level & number]>>
                        : T extends Unsendable
                          ? ` is a ${UnsendableName<T>}`
                          : T extends Disposes
                            ? never
                            : MemberProblem<T, Deeper[Level & number]>

type Unsendable = WeakMap<any, any> | WeakSet<any> | WeakRef<any> | SharedArrayBuffer | Generator<unknown, unknown, never>

type UnsendableName<T> =
  T extends Generator<unknown, unknown, never>
    ? 'generator; an async generator can travel'
    : T extends { readonly [Symbol.toStringTag]: infer Tag extends 'WeakRef' | 'SharedArrayBuffer' }
      ? Tag
      : T extends WeakMap<any, any>
        ? 'WeakMap'
        : 'WeakSet'

type Within<Where extends string, Problem> = Problem extends string ? `${Where}${Problem}` : never

type MemberProblem<T, Level> = {
  [Key in keyof T & string]-?: Within<`.${Key}`, TravelProblem<T[Key], Level>>
}[keyof T & string]

type FunctionProblem<F, Level> = F extends (...args: infer A) => infer R
  ? ListProblem<A, ', a function, whose argument', Level> | Within<', a function, whose result', ResultProblem<R, Level>>
  : never

type ListProblem<A extends readonly unknown[], Where extends string, Level = Levels> = {
  [Index in keyof A]-?: Within<`${Where}${Ordinal<Index>}`, TravelProblem<A[Index], Level>>
}[number]

type Ordinals = { '0': ' 1'; '1': ' 2'; '2': ' 3'; '3': ' 4'; '4': ' 5'; '5': ' 6'; '6': ' 7'; '7': ' 8'; '8': ' 9'; '9': ' 10' }
type Ordinal<Index> = Index extends keyof Ordinals ? Ordinals[Index] : ''

type ResultProblem<R, Level = Levels> =
  IsAny<R> extends true
    ? never
    : [Awaited<R>] extends [AsyncIterable<infer Item>]
      ? Within<'[]', TravelProblem<Item, Level>>
      : TravelProblem<Awaited<R>, Level>

/** True when every member is a method, so that a copy of the object would be empty. */
type OnlyMethods<T> = T extends Whole | Callable | Disposes | MarkedByRef<unknown> | AsyncIterable<unknown>
  ? false
  : T extends object
    ? [keyof T] extends [never]
      ? false
      : { [Key in keyof T]-?: NonNullable<T[Key]> extends Callable ? never : Key }[keyof T] extends never
        ? true
        : false
    : false

type EmptyCopy<R> =
  unknown extends Awaited<R>
    ? never
    : true extends OnlyMethods<Awaited<R>>
      ? ' has only methods and would arrive empty; give it [Symbol.asyncDispose] or make it ByRef'
      : never

type MethodProblem<Name extends string, F> =
  IsAny<F> extends true
    ? never
    : [F] extends [Callable]
      ? F extends (...args: infer A) => infer R
        ? ListProblem<A, `'${Name}' argument`> | Within<`'${Name}' result`, ResultProblem<R> | EmptyCopy<R>>
        : never
      : `'${Name}' is not a method`

type NameProblem<Name> = Name extends typeof Symbol.asyncDispose | typeof Symbol.dispose
  ? never
  : Name extends 'then' | 'constructor'
    ? `'${Name}' cannot be the name of a remote method`
    : Name extends `_${string}`
      ? `'${Name}' begins with an underscore, which keeps a method private`
      : Name extends string
        ? never
        : Name extends number
          ? `'${Name}' is a number; methods have names`
          : 'a method with a symbol for a name cannot be called from another process'

type Verdict<T, Name extends keyof T> = [NameProblem<Name>] extends [never]
  ? Name extends string
    ? [MethodProblem<Name, NonNullable<T[Name]>>] extends [never]
      ? T[Name]
      : `plugwire: ${MethodProblem<Name, NonNullable<T[Name]>>}`
    : T[Name]
  : `plugwire: ${NameProblem<Name>}`

/**
 * What `T` fits when every member is a method whose arguments and result can travel. Else `T` does not fit: in place of the member
 * that is wrong there is a sentence that says why, and the compiler prints it.
 */
// One mapped type and nothing around it: only so may a type parameter stand in its own constraint.
export type ValidInterface<T> = { [Name in keyof T]: Verdict<T, Name> }

/** What is wrong with `T` as a whole; `never` when nothing is. */
export type ShapeProblem<T> =
  IsAny<T> extends true
    ? never
    : T extends Callable | Primitive | readonly unknown[]
      ? 'plugwire: a kind is an interface of methods'
      : [keyof T] extends [never]
        ? 'plugwire: a kind needs at least one method'
        : never
