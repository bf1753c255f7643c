/** Who the masters are, as the server asks it: from the configuration, or from ZooKeeper. */
export interface MasterList {
  /** 'host:port' each; where who leads is known, the leader is the first. */
  readonly list: readonly string[]
  /** Set by the server. True if another master leads now. */
  onChange: (leaderChanged: boolean) => void
  start(): void
  close(): Promise<void>
}

/** The masters of the configuration, which never change. */
export const staticMasters = (masters: readonly string[]): MasterList => ({
  list: masters,
  onChange: () => {},
  start: () => {},
  close: async () => {},
})
