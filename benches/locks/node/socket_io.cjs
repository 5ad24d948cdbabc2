// Turns by socket.io, as one would write them: a queue for each room, and a timer for the one whose turn it is. Usage: socket_io.cjs PORT SECONDS
const { Server } = require('socket.io');

const [port, seconds] = process.argv.slice(2).map(Number);
const rooms = new Map();

function begin(room) {
  const [first] = room.queue;
  if (!first) return;
  first.emit('go');
  room.timer = setTimeout(() => end(room, first), 1000 * seconds);
}

// Whether it was the turn of this socket.
function end(room, socket) {
  if (room.queue[0] !== socket) return false;
  clearTimeout(room.timer);
  room.queue.shift();
  begin(room);
  return true;
}

new Server(port).on('connection', (socket) => {
  let room;
  socket.on('join', (name) => {
    if (!rooms.has(name)) rooms.set(name, { queue: [] });
    room = rooms.get(name);
  });
  socket.on('ask', () => {
    room.queue.push(socket);
    if (room.queue.length === 1) begin(room);
  });
  socket.on('give', (acknowledge) => acknowledge(end(room, socket)));
  socket.on('disconnect', () => {
    if (room && !end(room, socket)) room.queue = room.queue.filter((other) => other !== socket);
  });
});
