/** What every part may say, and to whom it says it; what becomes of it is in base/journal.ts. */
export type Level = 'debug' | 'info' | 'warn' | 'error'
export type Fields = Record<string, unknown>

export interface Log {
  debug(msg: string, fields?: Fields): void
  info(msg: string, fields?: Fields): void
  warn(msg: string, fields?: Fields): void
  error(msg: string, fields?: Fields): void
  /** The same log with these fields on every line. */
  child(fields: Fields): Log
}

/** Says nothing; for tests and for parts that run without a daemon. */
export const silent: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silent,
}
