// A game of boardgame.io in which each player moves once and is followed by the next. Usage: boardgame_io.cjs PORT
const { Server } = require('boardgame.io/server');

const game = {
  name: 'turns',
  setup: () => ({ moves: 0 }),
  turn: { minMoves: 1, maxMoves: 1 },
  moves: { act: ({ G }) => { G.moves += 1; } },
};

Server({ games: [game] }).run(Number(process.argv[2]));
