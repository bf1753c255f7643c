/**
 * The one way an Error is made here: a sentence for the operator, a code to
 * decide on, and in `cause` what lies beneath it together with any fields
 * worth logging. We never subclass Error.
 */

/** Codes a caller may decide on. A new one is added here or not at all. */
export type Code =
  | 'ECONFIG' // the configuration cannot be used
  | 'EUSAGE' // the command line cannot be used
  | 'EBIND' // an address cannot be bound
  | 'EHTTP' // a control-plane HTTP exchange failed
  | 'EDATA' // a file or an API gave data that cannot be used
  | 'EGOSSIP' // the gossip ring refused or was refused
  | 'EWIRE' // bytes that are no message of their kind
  | 'ESTATE' // asked for at a moment it cannot be had

export type Coded = Error & { code?: string }

/** An Error with a code; `fields` end up beside `cause` for the log. */
export const fail = (
  message: string,
  code: Code,
  fields: { cause?: unknown; [name: string]: unknown } = {},
): Coded => {
  const { cause, ...rest } = fields
  const er: Coded = new Error(message, cause === undefined ? undefined : { cause })
  er.code = code
  return Object.assign(er, rest)
}

/** The code of anything thrown, '' if it has none. */
export const codeOf = (er: unknown): string =>
  er instanceof Error && typeof (er as Coded).code === 'string' ? ((er as Coded).code ?? '') : ''

/** A thrown value's sentence, whatever was thrown. */
export const messageOf = (er: unknown): string => (er instanceof Error ? er.message : String(er))
