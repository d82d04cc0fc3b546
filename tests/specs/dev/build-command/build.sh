# Puts the word into the template.
mkdir -p dist
sed "s/WORD/$(cat src/word.txt)/" src/worker.template > dist/worker.js
