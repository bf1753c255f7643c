/** Who the masters of Mesos are: from the configuration, or from ZooKeeper. */
export interface MasterList {
  /** 'host:port' each; where who leads is known, the leader is the first. */
  readonly list: readonly string[]
  /** 'host:port' of the master that leads now; '' while nobody says so. */
  readonly leader: string
  /** Set by the owner. True if another master leads now. */
  onChange: (leaderChanged: boolean) => void
  start(): void
  close(): Promise<void>
}

/** The masters of the configuration, which never change. */
export const staticMasters = (masters: readonly string[]): MasterList => ({
  list: masters,
  leader: '',
  onChange: () => {},
  start: () => {},
  close: async () => {},
})
