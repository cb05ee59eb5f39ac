contract Rollup: the source of the contracts
