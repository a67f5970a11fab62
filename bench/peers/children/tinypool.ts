export const echo = (value: unknown): unknown => value
