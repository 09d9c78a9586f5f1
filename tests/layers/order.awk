# Facts about rooms and files in (layers.sh makes them), what is wrong with them out, one line each:
#   room ROOM on ROOM... sees FOLDER...   bottom up; a room sees what it stands on, and all that sees
#   file PATH                             every file of ours outside tests/
#   include PATH LINE NAME                #include "NAME"
#   define PATH SYMBOL                    of the object file of PATH
#   call PATH SYMBOL                      the object file of PATH needs SYMBOL from outside
#   front FLOOR SYMBOL                    a header in front of the floor's rooms says it
# The circles found stand on lines "circle PATH PATH...", their files in the order of the facts.
# A floor is a top folder; what lies in it beside its rooms is its front, which every floor above may include.

function folder(path) { return match(path, /\/[^\/]*$/) ? substr(path, 1, RSTART - 1) : "." }
function floor(path) { sub(/\/.*/, "", path); return path }
# A table points up by design: what its rows are called is no call against the order.
function is_row(symbol) {
    return symbol ~ /^ar__(driver|format|family|method|command|tap|trainable|variant)_/
}

$1 == "room" {
    rooms[++room_count] = $2
    is_room[$2] = 1
    if (!(floor($2) in floor_at)) floor_at[floor($2)] = ++floor_count
    sees[$2, $2] = 1
    for (i = 4; i <= NF && $i != "sees"; i++) {
        if (!($i in is_room)) print "order: " $2 " stands on " $i ", which is no room before it"
        for (j = 1; j < room_count; j++) if (stands[$i, rooms[j]]) stands[$2, rooms[j]] = 1
        for (pair in sees) {
            split(pair, part, SUBSEP)
            if (part[1] == $i) found[part[2]] = 1
        }
        for (one in found) sees[$2, one] = 1
        for (one in found) delete found[one]
        stands[$2, $i] = 1
    }
    for (i++; i <= NF; i++) sees[$2, $i] = 1
}
$1 == "file" {
    files[++file_count] = $2
    name = $2
    sub(/.*\//, "", name)
    if (name !~ /\.c$/ && name in at) print "order: " $2 " and " at[name] " have one name"
    at[name] = $2
}
$1 == "define" { defined_in[$3] = $2 }
$1 == "front" { is_front[$2, $3] = 1 }
$1 == "include" {
    include_from[++include_count] = $2
    include_line[include_count] = $3
    include_name[include_count] = $4
}
$1 == "call" { call_from[++call_count] = $2; call_symbol[call_count] = $3 }

function check_include(from, line, name,    to, here, there) {
    if (name ~ /\//) { print "order: " from ":" line ": " name " is included by path"; return }
    if (!(name in at)) return # made by the build
    to = at[name]
    here = folder(from)
    there = folder(to)
    if (here != there && !sees[here, there] &&
        !(here in floor_at && there in floor_at && floor_at[there] < floor_at[here]))
        print "order: " from ":" line ": " here " does not stand on " there " (" name ")"
    if (from != to) edge[from, to] = 1
}
function check_call(from, symbol,    to, here, there) {
    if (!(symbol in defined_in)) return
    to = defined_in[symbol]
    if (to == from || is_row(symbol)) return
    here = folder(from)
    there = folder(to)
    if (here != there && !stands[here, there] &&
        !(floor_at[floor(there)] < floor_at[floor(here)] && is_front[floor(there), symbol]))
        print "order: " from " calls " symbol " of " to ", which it does not stand on"
    edge[from, to] = 1
}
function reach(start, at_file,    i) {
    for (i = 1; i <= out_count[at_file]; i++) {
        if (reaches[start, out[at_file, i]]) continue
        reaches[start, out[at_file, i]] = 1
        reach(start, out[at_file, i])
    }
}
END {
    for (i = 1; i <= include_count; i++) check_include(include_from[i], include_line[i], include_name[i])
    for (i = 1; i <= call_count; i++) check_call(call_from[i], call_symbol[i])
    for (pair in edge) {
        split(pair, part, SUBSEP)
        out[part[1], ++out_count[part[1]]] = part[2]
    }
    for (i = 1; i <= file_count; i++) reach(files[i], files[i])
    for (i = 1; i <= file_count; i++) {
        if (done[files[i]] || !reaches[files[i], files[i]]) continue
        line = "circle"
        for (j = i; j <= file_count; j++) {
            if (!reaches[files[i], files[j]] || !reaches[files[j], files[i]]) continue
            done[files[j]] = 1
            line = line " " files[j]
        }
        print line
    }
}
